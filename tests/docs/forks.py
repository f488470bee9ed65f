"""A program `holdfast` whose every start is a fork of one process that has imported the libraries already.

A command imports for five seconds before it works for one, and the pages have fifty of them. `programs` writes two
small programs, `holdfast` and `page`, for the front of a path: each hands its words, folder, variables and streams
to the server, which forks, and ends with the exit code of the fork. A fork has memory of its own and ends as any
interpreter does; all it is spared are the imports. That fresh processes run is seen by tests/cli/test_process.py, by
the wheel of `.ci/run`, and by `make laws`, where nothing is forked.
"""

import contextlib
import importlib
import json
import os
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import warnings

PAGE = pathlib.Path(__file__).with_name("page.py")
LIBRARIES = """
altair jinja2 numba numpy PIL.Image pyarrow.parquet pydantic rich.progress safetensors.torch scipy.optimize scipy.stats
sklearn.datasets sklearn.ensemble sklearn.linear_model torch typer vl_convert yaml
"""
OURS = """
holdfast.cli.audit holdfast.cli.gate holdfast.evaluation.audit holdfast.models.files holdfast.report.run
"""

PROGRAM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    text = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(text)
    code = server.recv(1)
os._exit(code[0] if code else 70)
"""


def taken_over(asked):
    """The name, words, folder and variables of a program whose streams are this process's from now on."""
    head, streams, _, _ = socket.recv_fds(asked, 8, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with asked.makefile("rb") as rest:
        return json.loads(rest.read(int.from_bytes(head, "big")))


def run(name, words, folder, variables):
    """Be the program: `holdfast`, or a page, in which a warning is an error as it was for the libraries."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(i, mode, closefd=False) for i, mode in enumerate("rww"))
    sys.argv = [name, *words]
    if name == "page":
        runpy.run_path(str(PAGE), run_name="__main__")
        return 0
    warnings.simplefilter("default")
    return importlib.import_module("holdfast.cli.main").main()


def serve(address):
    """Answer each program with a fork, which forks what runs, waits for it and passes on its exit code.

    It ends with whoever started it. From Python 3.12 on a fork of a process with threads warns; those of the libraries
    wait for work here, and hold no lock.
    """
    for name in (LIBRARIES + OURS).split():
        importlib.import_module(name)
    warnings.filterwarnings("ignore", ".* use of fork\\(\\) may lead to deadlocks", DeprecationWarning)
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(10)
        print("ready", flush=True)
        while os.getppid() == parent:
            try:
                asked, _ = server.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                break
            asked.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        else:
            return
    with asked:
        if child := os.fork():
            asked.send(bytes([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255]))
            os._exit(0)
        given = taken_over(asked)
    sys.exit(run(*given))


@contextlib.contextmanager
def programs(folder):
    """A folder with the programs, as long as the block lasts."""
    address = str(folder / "socket")
    for name in ("holdfast", "page"):
        path = folder / name
        path.write_text(PROGRAM.format(python=sys.executable, address=address, name=name))
        path.chmod(0o755)
    command = [sys.executable, "-W", "error", __file__, address]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            yield folder
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # and what a page that ran out of time has left behind


if __name__ == "__main__":
    serve(sys.argv[1])
