"""Keeps every request that it gets as a file, and answers with 204. Arguments: folder, file for the port."""

import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

folder, port_file = map(pathlib.Path, sys.argv[1:])


class Receiver(BaseHTTPRequestHandler):
    seen = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        Receiver.seen += 1
        whole = folder / f"{Receiver.seen}.part"
        whole.write_text(json.dumps({"headers": headers, "body": body.decode()}))
        whole.rename(folder / f"{Receiver.seen}.json")
        self.send_response(204)
        self.end_headers()


server = HTTPServer(("127.0.0.1", 0), Receiver)
port_file.write_text(str(server.server_port))
server.serve_forever()
