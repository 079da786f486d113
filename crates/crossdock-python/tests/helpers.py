"""Functions that run in other processes, none of which can hang."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pathlib
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
# For machines that stand still; no test needs a tenth of it.
GENEROUS = 120.0
METHODS = ['fork', 'spawn', 'forkserver']


def needs(what: str, there: bool) -> None:
    """Skips the test by name where something is absent; with CI set, that is a failure."""
    if not there:
        (pytest.fail if os.environ.get('CI') else pytest.skip)(f'needs {what}')


def in_memory() -> str:
    """A new directory for a SharedMemoryConnector, gone with this process."""
    directory = tempfile.mkdtemp(prefix='crossdock-test-', dir='/dev/shm')
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def other_hostname(name: str) -> list[str]:
    """A command in front of another, which then runs on a host that is really called so."""
    needs('root and unshare, for another hostname', os.geteuid() == 0 and shutil.which('unshare') is not None)
    command = ['unshare', '--uts', 'sh', '-c', f'hostname {name} && exec "$@"', 'sh']
    allowed = subprocess.run([*command, 'true'], capture_output=True, timeout=GENEROUS, check=False).returncode == 0
    needs('the right to change the hostname', allowed)
    return command


def elsewhere(function: Callable[..., Any], *arguments: Any, host: str | None = None, front: Any = ()) -> Any:
    """What the function returns in a new Python, perhaps on a host of another name."""
    code = (
        'import os, pickle, sys\n'
        'answer = os.fdopen(os.dup(1), "wb"); os.dup2(2, 1)\n'
        f'sys.path.insert(0, {str(TESTS)!r})\n'
        'function, arguments = pickle.load(sys.stdin.buffer)\n'
        'pickle.dump(function(*arguments), answer); answer.close()\n'
    )
    environment = dict(os.environ)
    if host is not None:
        environment['CROSSDOCK_HOSTNAME'] = host
    run = subprocess.run(
        [*front, sys.executable, '-c', code],
        input=pickle.dumps((function, arguments)),
        capture_output=True,
        env=environment,
        timeout=GENEROUS,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()[-4000:]
    return pickle.loads(run.stdout)


def _answer(sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send((True, function(*arguments)))
    except BaseException:
        sender.send((False, traceback.format_exc()))


def in_process(method: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns in a process that multiprocessing starts."""
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        assert receiver.poll(GENEROUS), f'no answer from the {method} process'
        good, answer = receiver.recv()
        process.join(GENEROUS)
        assert process.exitcode == 0, process.exitcode
    finally:
        if process.is_alive():
            process.kill()
        process.join()
    assert good, answer
    return answer


class Child:
    """A bare os.fork that runs a function; ended with the block it is used in."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._reading)
                try:
                    outcome = pickle.dumps((True, function(*arguments)))
                except BaseException:
                    outcome = pickle.dumps((False, traceback.format_exc()))
                with os.fdopen(writing, 'wb') as file:
                    file.write(outcome)
            finally:
                os._exit(0)
        os.close(writing)

    def is_working(self) -> bool:
        return not select.select([self._reading], [], [], 0)[0]

    def answer(self) -> Any:
        received = b''
        while True:
            assert select.select([self._reading], [], [], GENEROUS)[0], 'no answer from the forked child'
            part = os.read(self._reading, 1 << 20)
            if not part:
                break
            received += part
        assert received, 'the forked child died'
        good, value = pickle.loads(received)
        assert good, value
        return value

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        # It has answered, or never will.
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._reading)


def in_fork(function: Callable[..., Any], *arguments: Any) -> Any:
    with Child(function, *arguments) as child:
        return child.answer()


def class_path(value: object) -> str:
    return f'{type(value).__module__}.{type(value).__qualname__}'
