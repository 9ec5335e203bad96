/**
 * The jail: a command line that starts a program in namespaces of its own.
 *
 * `unshare` gives it a mount, network, process, IPC and host-name namespace (and a user namespace where the caller is
 * not root), a shell script builds a root of read-only system directories and one small writable directory, and
 * `setpriv` and `prlimit` take away privileges and bound what is left. The first process inside is the warden (`Warden`),
 * which starts the program. Everything ends with the caller: `unshare` by the signal of its parent's death, what is inside
 * by the warden's input. Linux only; `Sandbox` checks that it works here before anything is run.
 */
import type { Limits } from "./Limits.ts"

/** A program's interpreter as it is seen from outside the jail. */
export interface Interpreter {
  readonly language: "python" | "javascript"
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
 * Builds the root and becomes the command. Arguments: program file, MiB of /box, user id or "" for the namespace's
 * own root, directories to mount, "--", the command. Every step has to succeed. Beside the program lie the sources of
 * the warden and of what runs JavaScript.
 *
 * Message queues and shared memory of System V are counted by no limit of a process, so there are none in this namespace.
 *
 * /box lies in memory, so that a program can fill neither the disk nor more memory than it was given. The old root is
 * out of reach after pivot_root and unmounting it; a chroot alone could be left.
 */
const script = `
set -eu
program=$1; size=$2; user=$3; shift 3
given="\${program%/*}"
root="$given/root"
for limit in shmall shmmax shmmni msgmni msgmnb; do
  if [ -w "/proc/sys/kernel/$limit" ]; then echo 0 > "/proc/sys/kernel/$limit"; fi
done
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
for own in warden javascript; do cat "$given/$own" > "$root/$own"; chmod 644 "$root/$own"; done
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

/** Names of the files that have to lie beside a program's own. */
export const files = { warden: "warden", javascript: "javascript" } as const

/**
 * The command and arguments that run `program` (a file outside) under limits, as user `uid` where the caller is root;
 * `warden` is the Python that the warden runs in.
 */
export const command = (
  warden: Interpreter,
  interpreter: Interpreter,
  program: string,
  limits: Limits,
  uid: number | undefined,
): readonly [string, ReadonlyArray<string>] => {
  const bytes = (mebibytes: number) => String(Math.ceil(mebibytes * 1024 * 1024))
  return [
    "setpriv",
    [
      "--pdeathsig=KILL",
      "unshare",
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
      ...new Set([...warden.needs, ...interpreter.needs]),
      "--",
      "prlimit",
      `--cpu=${Math.ceil(limits.seconds)}`,
      `--fsize=${bytes(limits.fileMiB)}`,
      // The warden is one more.
      `--nproc=${limits.processes + 1}`,
      "--nofile=64",
      "--core=0",
      ...(interpreter.boundsAddressSpace ? [`--as=${bytes(limits.memoryMiB)}`] : []),
      "--",
      warden.executable,
      ...warden.arguments,
      `/${files.warden}`,
      interpreter.language,
      ...(interpreter.language === "python"
        ? []
        : [interpreter.executable, ...interpreter.arguments, `/${files.javascript}`]),
      "/box/program",
    ],
  ]
}
