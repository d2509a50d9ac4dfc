"""Runs a command on a terminal of its own and types answers to what it asks; what it shows goes to standard output.

type.py [PROMPT ANSWER]... -- COMMAND...

Ends as the command does; with 1 where a prompt does not come within a minute.
"""
import os
import pty
import select
import sys
import time

LIMIT_S = 60


def main(arguments):
    """Each answer is typed once its prompt was shown behind the one before."""
    split = arguments.index("--")
    words, command = arguments[:split], arguments[split + 1:]
    answers = list(zip(words[::2], words[1::2]))
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    shown = b""
    deadline = time.monotonic() + LIMIT_S
    while True:
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # the command has ended and closed it
                more = b""
            if not more:
                break
            sys.stdout.buffer.write(more.replace(b"\r\n", b"\n"))
            sys.stdout.flush()
            shown += more
        if answers and answers[0][0].encode() in shown:
            prompt, answer = answers.pop(0)
            shown = shown.split(prompt.encode(), 1)[1]
            # The prompt is shown before the terminal is told not to echo.
            time.sleep(0.2)
            os.write(terminal, answer.encode() + b"\n")
            deadline = time.monotonic() + LIMIT_S
        if time.monotonic() > deadline:
            sys.exit(f"type.py: waited in vain for {answers[0][0] if answers else 'the end'}")
    if answers:
        sys.exit(f"type.py: nobody asked for {answers[0][0]}")
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main(sys.argv[1:])
