"""A tracker for all programs alike (BEP 3, BEP 23): it keeps who announced and tells everybody else."""
import http.server
import threading
import urllib.parse


class Tracker:
    """Listens on an address of its own until the harness ends."""

    def __init__(self, address):
        swarms, lock = {}, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if "/announce" not in self.path:
                    self.send_error(404)
                    return
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query, encoding="latin-1")
                peer = (self.client_address[0], int(query["port"][0]))
                with lock:
                    swarm = swarms.setdefault(query["info_hash"][0], set())
                    swarm.discard(peer) if query.get("event") == ["stopped"] else swarm.add(peer)
                    others = swarm - {peer}
                compact = b"".join(bytes(map(int, host.split("."))) + port.to_bytes(2) for host, port in others)
                body = b"d8:intervali1800e12:min intervali1800e5:peers%d:%be" % (len(compact), compact)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}/announce"
        self.swarms, self.lock = swarms, lock
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def forget(self):
        """Forgets everybody: programs that were killed said no goodbye."""
        with self.lock:
            self.swarms.clear()
