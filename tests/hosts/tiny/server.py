"""An engine of nothing but the standard library; TINY says how it misbehaves."""

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = os.environ.get("TINY", "")
STATE = {"model": None, "loading": False}
CHILD = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        print("child", os.getpid())
    except OSError:
        pass
    time.sleep(0.005)
"""


class Answers(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def say(self, values, status=200):
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            error = "no licence file" if MODE == "error" else None
            status = "error" if error else "loading" if STATE["loading"] else "ready"
            self.say(
                {
                    "status": status,
                    "engineModelLoaded": STATE["model"] is not None,
                    "currentEngineModel": STATE["model"],
                    "device": "cpu",
                    "error": error,
                }
            )
        elif self.path == "/models":
            rows = [{"name": name, "displayName": name.title()} for name in ("one", "two")]
            self.say({"models": rows, "defaultModel": "one"})
        elif self.path == "/info":
            self.say({"name": "tiny", "displayName": "Tiny", "engineType": "tts"})
        elif self.path == "/environment":
            self.say(dict(os.environ))
        else:
            self.say({"detail": "not found"}, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/load":
            STATE["loading"] = True
            if MODE == "slow-load":
                time.sleep(60)
            if MODE == "dies-loading":
                print("the model file is broken", flush=True)
                os._exit(3)
            STATE.update(model=json.loads(body)["engineModelName"], loading=False)
            self.say({"status": "loaded"})
        elif self.path == "/shutdown" and MODE != "stubborn":
            self.say({"status": "shutting_down"})
            threading.Timer(0.05, os._exit, [0]).start()
        else:
            self.say({"detail": "not found"}, 404)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    print(f"tiny begins in mode {MODE or 'ok'}", flush=True)
    if MODE == "crash":
        raise RuntimeError("tiny cannot go on")
    if MODE == "silent":
        time.sleep(600)
    if MODE == "stubborn":
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "parent":
        import subprocess

        subprocess.Popen([sys.executable, "-u", "-c", CHILD])
    if MODE == "wrong-port":
        port += 500
    if MODE == "chatty":
        for number in range(200_000):
            print(f"line {number} " + "x" * 60)
        sys.stdout.flush()
    ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()


main()
