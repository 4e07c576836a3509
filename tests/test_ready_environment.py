"""The ready environment: the script sets it up, JupyterLab runs a notebook, a browser shows it."""

import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = "docs/notebooks/frozen_lake_by_hand.ipynb"

pytestmark = pytest.mark.slow


class Server(NamedTuple):
    """A running JupyterLab, in a copy of the repository."""

    folder: Path
    home: Path
    port: int
    token: str

    def request(self, path, method="GET", body=None):
        """Call the server's REST interface."""
        request = Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"token {self.token}"},
            method=method,
        )
        with urlopen(request, timeout=30) as response:
            return json.loads(response.read() or "null")


def copy_repository(folder):
    """Copy what belongs to the repository, committed or not."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_it_answers(server, process, seconds=120):
    for _ in range(seconds):
        assert process.poll() is None, "JupyterLab ended"
        try:
            return server.request("status")
        except (URLError, ConnectionError):
            time.sleep(1)
    raise TimeoutError(f"JupyterLab does not answer after {seconds} s.")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder, home = tmp_path_factory.mktemp("toolkit"), tmp_path_factory.mktemp("home")
    copy_repository(folder)
    pip_cache = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True
    ).stdout.strip()
    environment = os.environ | {
        "HOME": str(home),
        "PIP_CACHE_DIR": pip_cache,
        "PYTHON": sys.executable,
    }
    subprocess.run(["./jupyter.sh", "--no-start"], cwd=folder, env=environment, check=True)

    server = Server(folder, home, free_port(), secrets.token_hex())
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={server.port}",
        f"--IdentityProvider.token={server.token}",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            ["./jupyter.sh", *options], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            wait_until_it_answers(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)


def execute(channels, code, seconds=300):
    """Run code in the kernel, and give its outputs."""
    message_id = uuid.uuid4().hex
    header = {
        "msg_id": message_id,
        "msg_type": "execute_request",
        "username": "",
        "session": message_id,
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}}
    channels.send(json.dumps(message | {"content": content}))
    outputs = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = json.loads(channels.recv())
        if message["parent_header"].get("msg_id") != message_id or message["channel"] != "iopub":
            continue
        kind = message["msg_type"]
        if kind == "status" and message["content"]["execution_state"] == "idle":
            return outputs
        if kind in ("stream", "display_data", "execute_result", "error"):
            outputs.append(nbformat.v4.output_from_msg(message))
    raise TimeoutError(f"The kernel did not finish within {seconds} s: {code}")


@pytest.fixture(scope="module")
def executed(server):
    """The notebook, run by a kernel of the server and saved by it; and the kernel's interpreter."""
    websocket = pytest.importorskip("websocket")
    kernel = {"name": "python3"}
    body = {"path": NOTEBOOK, "name": "notebook", "type": "notebook", "kernel": kernel}
    session = server.request("sessions", "POST", body)
    address = f"ws://127.0.0.1:{server.port}/api/kernels/{session['kernel']['id']}/channels"
    notebook = nbformat.from_dict(server.request(f"contents/{NOTEBOOK}")["content"])
    with closing(
        websocket.create_connection(f"{address}?token={server.token}", timeout=300)
    ) as channels:
        (interpreter,) = execute(channels, "import sys; print(sys.executable)")
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                cell.outputs = execute(channels, cell.source)
                cell.execution_count = number
    body = {"type": "notebook", "format": "json", "content": notebook}
    server.request(f"contents/{NOTEBOOK}", "PUT", body)
    return notebook, Path(interpreter.text.strip())


def test_the_kernel_is_that_of_the_environment(server, executed):
    _, interpreter = executed
    assert interpreter.parent == server.folder / ".venv" / "bin"
    assert list(server.request("kernelspecs")["kernelspecs"]) == ["python3"]


def test_the_notebook_runs_without_errors(executed):
    outputs = [out for cell in executed[0].cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.output_type == "error"]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 4
    assert any("probability 0.7402" in out.get("text", "") for out in outputs)


def test_nothing_is_registered_outside_of_the_environment(server, executed):
    assert not [path for path in server.home.rglob("*") if "jupyter" in path.name.lower()]
    assert not (server.home / ".ipython").exists()


def test_a_second_setup_changes_nothing(server):
    ready = server.folder / ".venv" / "notebooks-ready"
    before = ready.stat().st_mtime_ns
    subprocess.run(["./jupyter.sh", "--no-start"], cwd=server.folder, check=True)
    assert ready.stat().st_mtime_ns == before


def test_a_browser_shows_the_notebook_and_its_pictures(server, executed, tmp_path):
    pytest.importorskip("selenium")
    from PIL import Image
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService
    from selenium.webdriver.support.ui import WebDriverWait

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("Chromium and its driver are not installed.")
    options = ChromeOptions()
    options.binary_location = browser
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1400,1000"):
        options.add_argument(f"--{option}")
    with Chrome(options, ChromeService(driver)) as chrome:
        chrome.get(f"http://127.0.0.1:{server.port}/lab/tree/{NOTEBOOK}?token={server.token}")
        picture = WebDriverWait(chrome, 120).until(
            lambda chrome: chrome.execute_script(
                "const pictures = [...document.querySelectorAll('.jp-OutputArea-output img')];"
                "return pictures.find(picture => picture.naturalWidth > 100);"
            )
        )
        chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
        time.sleep(1)
        text = chrome.find_element("tag name", "body").text
        screenshot = chrome.get_screenshot_as_png()
    (tmp_path / "jupyterlab.png").write_bytes(screenshot)
    assert "The model" in text
    assert "Python 3 (ipykernel)" in text
    # Not an empty page: the maps of values have many colors.
    with Image.open(io.BytesIO(screenshot)) as image:
        assert image.size[0] >= 1300
        assert len(image.convert("RGB").getcolors(2**24)) > 200
