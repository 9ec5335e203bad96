/**
 * The jail: a command line that starts a program in namespaces of its own.
 *
 * `unshare` gives it a mount, network, process, IPC and host-name namespace (and a user namespace where the caller is
 * not root), a shell script builds a root of read-only system directories and one small writable directory, and
 * `setpriv` and `prlimit` take away privileges and bound what is left. Linux only; `Sandbox` checks that it works here
 * before anything is run.
 */
import type { Limits } from "./Limits.ts"

/** A program's interpreter as it is seen from outside the jail. */
export interface Interpreter {
  /** Absolute path of the executable. */
  readonly executable: string
  /** Directories it needs besides the system's own; mounted read-only at the same place. */
  readonly needs: ReadonlyArray<string>
  /** Arguments before the program's path. */
  readonly arguments: ReadonlyArray<string>
  /** Whether its address space can be bounded: V8 reserves far more than it uses. */
  readonly boundsAddressSpace: boolean
}

/** The system's directories that hold programs and libraries. */
const system = ["/usr", "/bin", "/lib", "/lib64", "/sbin"]

/**
 * Builds the root and becomes the program. Arguments: program file, MiB of /box, user id or "" for the namespace's
 * own root, directories to mount, "--", the command. Every step has to succeed.
 *
 * /box lies in memory, so that a program can fill neither the disk nor more memory than it was given. The old root is
 * out of reach after pivot_root and unmounting it; a chroot alone could be left.
 */
const script = `
set -eu
program=$1; size=$2; user=$3; shift 3
root="\${program%/*}/root"
mkdir "$root"
mount -t tmpfs -o size=1m,mode=755,nosuid,nodev tmpfs "$root"
while [ "$1" != "--" ]; do
  if [ -L "$1" ]; then cp -P "$1" "$root$1"
  elif [ -d "$1" ]; then mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; mount -o remount,bind,ro,nosuid "$root$1"
  elif [ -e "$1" ]; then mkdir -p "$root\${1%/*}"; : > "$root$1"; mount --bind "$1" "$root$1"; mount -o remount,bind,ro,nosuid "$root$1"
  fi
  shift
done
shift
mkdir -p "$root/proc" "$root/dev" "$root/box" "$root/old"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
for device in null zero urandom; do : > "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -t tmpfs -o "size=\${size}m,mode=777,nosuid,nodev" tmpfs "$root/box"
cat "$program" > "$root/box/program"
chmod 644 "$root/box/program"
ln -s box "$root/tmp"
mount -o remount,bind,ro,nosuid,nodev "$root"
cd "$root"
pivot_root . old
umount -l /old
cd /box
if [ -n "$user" ]; then identity="--reuid=$user --regid=$user --clear-groups"; else identity=""; fi
exec setpriv $identity --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
`

/** The command and arguments that run `program` (a file outside) under limits, as user `uid` where the caller is root. */
export const command = (
  interpreter: Interpreter,
  program: string,
  limits: Limits,
  uid: number | undefined,
): readonly [string, ReadonlyArray<string>] => {
  const bytes = (mebibytes: number) => String(Math.ceil(mebibytes * 1024 * 1024))
  return [
    "unshare",
    [
      // Without root, a user namespace gives the rights to build the others.
      ...(uid === undefined ? ["--user", "--map-root-user"] : []),
      "--mount",
      "--net",
      "--pid",
      "--ipc",
      "--uts",
      "--fork",
      "--kill-child",
      "sh",
      "-c",
      script,
      "jail",
      program,
      String(Math.ceil(limits.fileMiB)),
      uid === undefined ? "" : String(uid),
      ...system,
      ...interpreter.needs,
      "--",
      "prlimit",
      `--cpu=${Math.ceil(limits.seconds)}`,
      `--fsize=${bytes(limits.fileMiB)}`,
      `--nproc=${limits.processes}`,
      "--nofile=64",
      "--core=0",
      ...(interpreter.boundsAddressSpace ? [`--as=${bytes(limits.memoryMiB)}`] : []),
      "--",
      interpreter.executable,
      ...interpreter.arguments,
      "/box/program",
    ],
  ]
}
