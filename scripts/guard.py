"""How a script ends when the system refuses it something: one line that says what and why, instead of a traceback."""
import contextlib
import functools
import os
import sys
import tempfile

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
OUTPUT = "cannot write to standard output"


def reason(error):
    """Why, in the system's words; of an error that is not the system's, its own."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def require_directory(path):
    """Makes the directory and tries to write there; OSError with its name when it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(bytes(4096))
    except FileExistsError as error:
        raise NotADirectoryError(error.errno, "is no directory", str(path)) from error
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def naming(path):
    """Gives the path to an error of writing there that names no file: a disk that is full names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


class Output:
    """Standard output whose errors say that they are its own."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        return self.named(self.stream.write, text)

    def flush(self):
        return self.named(self.stream.flush)

    @staticmethod
    def named(call, *arguments):
        try:
            return call(*arguments)
        except OSError as error:
            error.filename = OUTPUT
            raise


def one_line(program, failed=EXIT_FAILED):
    """For main(): what the system refuses ends it with one line and the status `failed`; a reader that went away, without one."""
    def decorate(main):
        @functools.wraps(main)
        def guarded(argv=None):
            try:
                with contextlib.redirect_stdout(Output(sys.stdout)):
                    try:
                        return main(argv)
                    finally:
                        sys.stdout.flush()
            except KeyboardInterrupt:
                print(f"{program}: interrupted", file=sys.stderr)
                return EXIT_INTERRUPTED
            except OSError as error:
                if error.filename is OUTPUT:
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # for what is still held back
                if not isinstance(error, BrokenPipeError):
                    print(f"{program}: {error.filename or 'cannot go on'}: {reason(error)}", file=sys.stderr)
                return failed
        return guarded
    return decorate
