"""A TAP, a DataLink and a file service on this machine, which fail as they are told to.

What is served are tables in memory. `faults` names, for each kind of request, what becomes of the
next ones; when the list is empty the services do their duty.
"""

from __future__ import annotations

import email
import gzip
import hashlib
import io
import re
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from astropy.io.votable import parse_single_table
from astropy.table import Table

#: When a service that is down asks to come back.
AFTER = "0"
ERROR = (
    '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{}</INFO></RESOURCE>'
    "</VOTABLE>"
)
JOB = (
    '<?xml version="1.0"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0"'
    ' xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1"><uws:jobId>{0}</uws:jobId>'
    '<uws:phase>{1}</uws:phase><uws:results><uws:result id="result"'
    ' xlink:href="{2}/tap/async/{0}/results/result"/></uws:results></uws:job>'
)


def astropy_table(table: pa.Table) -> Table:
    """Return an Arrow table as astropy has it, lists as arrays."""
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            columns[name] = flat.reshape(len(column), -1)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return Table(columns)


def votable(table: pa.Table, status: str = "OK") -> bytes:
    """Return a table as a VOTable in binary."""
    found = astropy_table(table)
    stream = io.BytesIO()
    found.write(stream, format="votable", tabledata_format="binary2")
    info = f'<INFO name="QUERY_STATUS" value="{status}"/>'
    return stream.getvalue().replace(b"<TABLE", info.encode() + b"<TABLE", 1)


class Services:
    """What is served, and how it fails."""

    def __init__(self, tables=None, files=None, spectra=None) -> None:
        self.tables, self.files, self.spectra = tables or {}, files or {}, spectra
        self.faults: dict[str, list[str]] = {}
        self.seen: list[str] = []
        self.sent: list[int] = []  # bytes of files
        self.logins: list[str] = []
        self.jobs: dict[str, dict] = {}
        self.refused: list[str] = []  # jobs of which a page or a result was not given
        self.made = 0
        self.lacking: set[int] = set()  # stars that DataLink does not deliver
        self.url = ""
        self.lock = threading.Lock()

    def fault(self, kind: str) -> str:
        """Return what becomes of a request of this kind."""
        with self.lock:
            self.seen.append(kind)
            waiting = self.faults.get(kind) or [""]
            return waiting.pop(0) if self.faults.get(kind) else ""

    def rows(self, query: str, uploads) -> pa.Table:
        """Return the answer to a query."""
        name = re.search(r"FROM (\S+) AS t", query)[1]
        table = self.tables[name]
        ids = table["source_id"].to_numpy()
        if "TAP_UPLOAD" in query:
            kept = np.isin(ids, uploads)
        elif " IN (" in query:
            listed = re.search(r" IN \(([\d, ]+)\)", query)[1]
            kept = np.isin(ids, np.array(listed.split(","), dtype=np.int64))
        else:
            kept = np.zeros(len(ids), bool)
            for low, high in re.findall(r"BETWEEN (\d+) AND (\d+)", query):
                kept |= (ids >= int(low)) & (ids <= int(high))
        if "has_xp_continuous" in query.partition("WHERE")[2]:
            kept &= np.array(table["has_xp_continuous"].to_pylist(), dtype=bool)
        if "COUNT(*)" in query:
            return pa.table({"n": np.array([kept.sum()], dtype=np.int64)})
        names = re.findall(r"t\.(\w+)", query.partition(" FROM ")[0])
        top = re.search(r"SELECT TOP (\d+) ", query)
        return table.filter(pa.array(kept)).select(names).slice(0, int(top[1]) if top else None)

    def md5_list(self) -> bytes:
        """Return the listing of the files."""
        return "".join(
            f"{hashlib.md5(content).hexdigest()}  {name}\n" for name, content in self.files.items()
        ).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # heads and bodies leave together, which is much faster

    def log_message(self, *_) -> None:
        pass

    @property
    def services(self) -> Services:
        return self.server.services

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def spoilt(self, kind: str) -> str:
        """Do the harm that needs no content; return what is left to be done, None if all is."""
        fault = self.services.fault(kind)
        if fault == "503":
            self.answer(b"<html><body>down for a moment</body></html>", 503, Retry_After=AFTER)
        elif fault == "busy":
            self.answer(b"too many requests of yours", 429, Retry_After="99999")
        elif fault == "500":
            self.answer(b"internal error", 500)
        elif fault == "401":
            self.answer(b"who are you?", 401)
        elif fault == "error":
            self.answer(ERROR.format("the disk is on fire").encode())
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"half of it")
            self.close_connection = True
        elif fault == "redirect":
            self.answer(b"", 307, Location=self.services.url + self.path)
        elif fault == "late":
            time.sleep(1.2)
            self.close_connection = True
        else:
            return fault
        return "done"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/files/"):
            self.file(path.removeprefix("/files/"))
        elif match := re.fullmatch(r"/tap/async/(\w+)(/results/result)?", path):
            self.job(match[1], bool(match[2]))
        elif path == "/tap/sync":
            self.sync(parse_qs(urlsplit(self.path).query), None)
        else:
            self.answer(b"no such page", 404)

    def do_POST(self) -> None:
        values, uploads = self.form()
        path = urlsplit(self.path).path
        if path == "/tap/sync":
            self.sync(values, uploads)
        elif path == "/tap/async":
            if self.spoilt("submit") != "done":
                with self.services.lock:
                    self.services.made += 1
                    name = f"job{self.services.made:04d}"
                self.services.jobs[name] = {"query": values["QUERY"][0], "uploads": uploads}
                self.answer(b"", 303, Location=f"{self.services.url}/tap/async/{name}")
        elif re.fullmatch(r"/tap/async/\w+/phase", path):
            name = path.split("/")[3]
            self.services.jobs[name]["phase"] = "COMPLETED"
            self.answer(b"", 303, Location=f"{self.services.url}/tap/async/{name}")
        elif path == "/datalink":
            self.datalink(values)
        else:
            self.answer(b"no such page", 404)

    def form(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart"):
            return parse_qs(body.decode()), None
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        values, uploads = {}, None
        for part in message.get_payload():
            content = part.get_payload(decode=True)
            if part.get_filename():
                table = parse_single_table(io.BytesIO(content)).to_table()
                uploads = np.asarray(table["source_id"])
            else:
                values[part.get_param("name", header="content-disposition")] = [content.decode()]
        return values, uploads

    def sync(self, values, uploads) -> None:
        if self.spoilt("sync") != "done":
            self.answer(votable(self.services.rows(values["QUERY"][0], uploads)))

    def job(self, name: str, result: bool) -> None:
        job = self.services.jobs.get(name)
        fault = self.spoilt("result" if result else "job")
        if fault == "done":
            self.services.refused.append(name)
            return
        if fault == "expired":
            self.services.jobs.pop(name, None)
            job = None
        if job is None:
            self.answer(b"no such job; it has expired", 404)
        elif not result:
            phase = "ERROR" if fault == "failed" else job.get("phase", "PENDING")
            self.answer(JOB.format(name, phase, self.services.url).encode())
        else:
            found = self.services.rows(job["query"], job["uploads"])
            if fault == "fewer":
                found = found.slice(0, len(found) // 2)
            if fault == "wrong" and len(found):
                at = found.schema.get_field_index("source_id")
                strange = pa.array(found["source_id"].to_numpy() ^ 1 << 61)
                found = found.set_column(at, "source_id", strange)
            if fault == "twice":
                found = pa.concat_tables([found.slice(0, 1), found.slice(0, len(found) - 1)])
            whole = votable(found, "OVERFLOW" if fault == "fewer" else "OK")
            self.answer(whole[: len(whole) // 2] if fault == "half" else whole)

    def datalink(self, values) -> None:
        fault = self.spoilt("datalink")
        if fault == "done":
            return
        ids = np.array(values["ID"][0].split(","), dtype=np.int64)
        table = self.services.spectra
        have = table["source_id"].to_numpy()
        kept = np.isin(have, ids) & ~np.isin(have, list(self.services.lacking))
        if fault == "fewer":
            kept &= np.cumsum(kept) % 2 == 0
        found = table.filter(pa.array(kept)).combine_chunks()
        if fault == "wrong":
            found = (
                table.slice(0, 1) if len(table) > 1 and have[0] not in ids else table.slice(1, 1)
            )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("XP_CONTINUOUS_RAW.csv", as_csv(found))
        whole = packed.getvalue()
        self.answer(whole[: len(whole) // 2] if fault == "truncated" else whole)

    def file(self, name: str) -> None:
        if name == "_MD5SUM.txt":
            if self.spoilt("listing") != "done":
                self.answer(self.services.md5_list())
            return
        content = self.services.files.get(name)
        if self.headers.get("Authorization"):
            self.services.logins.append(self.headers["Authorization"])
        if content is None:
            self.answer(b"no such file", 404)
            return
        fault = self.spoilt("file")
        if fault == "done":
            return
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        body = content[start:]
        if fault == "spoilt":
            body = body[:-1] + bytes([body[-1] ^ 255])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "half":
            body = body[: len(body) // 2]
            self.close_connection = True
        self.services.sent.append(len(body))
        self.wfile.write(body)


def as_csv(table: pa.Table) -> bytes:
    """Return a table as the archive's CSV, arrays in brackets."""
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_list(column.type):
            offsets = pa.array(column.offsets.to_numpy() - column.offsets[0].as_py())
            digits = pa.ListArray.from_arrays(offsets, column.flatten().cast(pa.string()))
            column = pc.binary_join_element_wise("(", pc.binary_join(digits, ", "), ")", "")
        columns[name] = column
    stream = io.BytesIO()
    pacsv.write_csv(pa.table(columns), stream)
    return stream.getvalue()


def bulk_files(table: pa.Table, prefix: str, count: int) -> dict[str, bytes]:
    """Return a table cut as the bulk folders are: by HEALPix pixels of level 8, gzipped."""
    pixel = table["source_id"].to_numpy() >> 43
    ends = np.unique(np.quantile(pixel, np.linspace(0, 1, count + 1), method="nearest"))
    edges = [0, *(ends[1:-1] + 1).tolist(), 12 * 4**8]
    files = {}
    for low, high in pairwise(edges):
        found = table.filter(pa.array((pixel >= low) & (pixel < high)))
        name = f"{prefix}_{low:06d}-{high - 1:06d}.csv.gz"
        files[name] = gzip.compress(as_csv(found), 1, mtime=0)
    return files


@contextmanager
def serving(services: Services):
    """Enclose what the services are up for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients go away as they like
    server.services = services
    services.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield services
    finally:
        server.shutdown()
        server.server_close()
