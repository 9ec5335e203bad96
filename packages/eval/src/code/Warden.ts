/**
 * The warden: the process that starts a program in the jail and says whether it ran to its end.
 *
 * It is the first process of the jail's process namespace, so that all others end with it, and it ends when its standard
 * input does, which is when whoever started it is gone, however that happened. Verdicts go by a random word: the warden
 * reads it after the program's process was made and writes it to descriptor 3 once that process has handed back the token
 * it was given, which its last step does. The word is never in the program's process; the warden's memory and descriptors
 * are closed to it.
 *
 * Before the program begins, its process loses what could reach outside: descriptors, the session's keyring, and by a
 * system-call filter shared memory that no limit counts, new namespaces, other families of sockets than the usual ones,
 * and looking into other processes. Numbers are those of x86-64 and arm64; elsewhere nothing is run.
 */

/** Descriptors of a program's process: where JavaScript finds its token, and where the token goes back. */
export const descriptors = { verdict: 3, token: 4, report: 5 } as const

/** What the warden says when it is ready to start the program, and what it is answered before the word. */
export const ready = "r"
export const go = "go\n"

/**
 * The warden's own source, for `python3 -I -B`. Arguments: "python" and the program's file, or "javascript" and the command
 * that runs it. It ends with the program's exit code.
 *
 * Python programs are run as HumanEval's reference runs them (Chen et al. 2021, human_eval/execution.py): the text in a
 * fresh dictionary of globals that is not the main module, without standard input, and without the functions that the
 * reference takes away; any exception is a failure, SystemExit and KeyboardInterrupt too. The process ends with the text,
 * whatever threads are left.
 */
export const source = `
import ctypes, errno, os, select, struct, sys

VERDICT, TOKEN, REPORT = ${descriptors.verdict}, ${descriptors.token}, ${descriptors.report}
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 4, 38, 22
CALLS = {
    "x86_64": (0xC000003E, 41, 56, 435, 250, [319, 447, 29, 30, 68, 240, 248, 249, 250, 272, 308, 165, 166, 155, 161, 101, 310, 311, 321, 323, 425, 298, 304, 428, 429, 430, 442, 312, 438, 175, 313, 246]),
    "aarch64": (0xC00000B7, 198, 220, 435, 219, [279, 447, 194, 196, 186, 180, 217, 218, 219, 97, 268, 40, 39, 41, 51, 117, 270, 271, 280, 282, 425, 241, 265, 428, 429, 430, 442, 272, 438, 105, 273, 104]),
}
machine = os.uname().machine
if machine not in CALLS:
    sys.exit(f"system calls of {machine} are not known here, those of x86_64 and aarch64 are")
ARCH, SOCKET, CLONE, CLONE3, KEYCTL, REFUSED = CALLS[machine]
NAMESPACES = 0x7E020080

def filtered():
    """Refuses system calls with an error; of sockets, all but local and Internet ones; of clones, those in namespaces."""
    load, equal, reaches, some, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    error = lambda number: (ret, 0, 0, 0x00050000 | number)
    allow = (ret, 0, 0, 0x7FFF0000)
    program = [(load, 0, 0, 4), (equal, 1, 0, ARCH), (ret, 0, 0, 0x80000000), (load, 0, 0, 0)]
    if machine == "x86_64":
        program += [(reaches, 0, 1, 0x40000000), error(errno.ENOSYS)]
    for number in [*REFUSED, 424]:
        program += [(equal, 0, 1, number), error(errno.EPERM)]
    # Without the new form, whose flags lie in memory, the C library takes the old one.
    program += [(equal, 0, 1, CLONE3), error(errno.ENOSYS)]
    program += [(equal, 0, 3, CLONE), (load, 0, 0, 16), (some, 0, 1, NAMESPACES), error(errno.EPERM), (load, 0, 0, 0)]
    program += [(equal, 0, 5, SOCKET), (load, 0, 0, 16), (equal, 3, 0, 1), (equal, 2, 0, 2), (equal, 1, 0, 10), error(errno.EAFNOSUPPORT), allow]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    text = ctypes.create_string_buffer(code, len(code))
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(text)))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(whole)), 0, 0):
        raise OSError(ctypes.get_errno(), "the system-call filter cannot be set")

def alone(kept):
    """Closes all other descriptors and takes a keyring of its own."""
    top = max(map(int, os.listdir("/proc/self/fd")))
    for descriptor in range(3, top + 1):
        if descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass
    libc.syscall(KEYCTL, 1, None, 0, 0, 0)

def as_reference(path, finish):
    """Runs a text as HumanEval's reference does."""
    import builtins, io, shutil, subprocess
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    leave = os._exit
    class NoInput(io.StringIO):
        def read(self, *args, **kwargs): raise OSError
        def readline(self, *args, **kwargs): raise OSError
        def readlines(self, *args, **kwargs): raise OSError
        def readable(self, *args, **kwargs): return False
    sys.stdin = NoInput()
    sys.argv = ["program"]
    builtins.exit = builtins.quit = builtins.help = None
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir".split():
        setattr(os, name, None)
    for name in "rmtree move chown".split():
        setattr(shutil, name, None)
    subprocess.Popen = None
    for name in "ipdb joblib resource psutil tkinter".split():
        sys.modules[name] = None
    flush = [sys.stdout, sys.stderr]
    code = 1
    try:
        exec(compile(text, "program", "exec"), {})
        code = 0
    except BaseException as error:
        import traceback
        try:
            traceback.print_exception(type(error), error, error.__traceback__.tb_next if error.__traceback__ else None, file=flush[1])
        except BaseException:
            pass
    for stream in flush:
        try:
            stream.flush()
        except BaseException:
            pass
    if code == 0:
        finish()
    leave(code)

def begin(kind, arguments, token):
    """The program's process, from its first step."""
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    os.close(VERDICT)
    os.close(0)
    os.open("/dev/null", os.O_RDONLY)
    filtered()
    if kind == "python":
        os.close(TOKEN)
        write = os.write
        as_reference(arguments[0], lambda: write(REPORT, token))
    for descriptor in (TOKEN, REPORT):
        os.set_inheritable(descriptor, True)
    os.execv(arguments[0], arguments)

def main(kind, arguments):
    alone({VERDICT})
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.write(VERDICT, b"${ready}")
    if os.read(0, ${go.length}) != b"${JSON.stringify(go).slice(1, -1)}":
        os._exit(1)
    token = os.urandom(16).hex().encode()
    given, give = os.pipe()
    got, get = os.pipe()
    # Out of the way, then to their places: 6 and above are free.
    moved = [os.dup2(descriptor, 40 + i) for i, descriptor in enumerate((given, give, got, get))]
    for descriptor in (given, give, got, get):
        os.close(descriptor)
    os.dup2(moved[0], TOKEN)
    os.dup2(moved[3], REPORT)
    os.write(moved[1], token)
    child = os.fork()
    if child == 0:
        try:
            for descriptor in moved:
                os.close(descriptor)
            begin(kind, arguments, token)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(127)
    for descriptor in (TOKEN, REPORT, moved[0], moved[1], moved[3]):
        os.close(descriptor)
    word = b""
    while not word.endswith(b"\\n"):
        more = os.read(0, 64)
        if not more:
            os._exit(1)
        word += more
    ended = os.pidfd_open(child)
    waiting = select.poll()
    for descriptor in (0, moved[2], ended):
        waiting.register(descriptor, select.POLLIN)
    told = b""
    while True:
        events = dict(waiting.poll())
        if 0 in events:
            os._exit(1)
        if moved[2] in events:
            more = os.read(moved[2], 64)
            told += more
            if told == token:
                os.write(VERDICT, word)
                os._exit(0)
            if not more or len(told) >= len(token):
                waiting.unregister(moved[2])
        if ended in events and moved[2] not in events:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            # A program that ended with 0 before its tests did has not passed them.
            os._exit(status if status >= 0 else 128 - status)

main(sys.argv[1], sys.argv[2:])
`
