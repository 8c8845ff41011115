"""Files behind links, as bills and receipts are handed out (sheet §4, checklist 6).

A link begins with the address that the client used and works for a while; the download is signed by the caller and
answered unsigned. gzip is of the bytes themselves, with no Content-Encoding.
"""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Final

from unicom_coupon_adapters.wechatpay.emulation.answers import unsigned
from unicom_coupon_adapters.wechatpay.emulation.fields import Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import not_there
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, moment_of, moment_text

PATH: Final = "/v3/billdownload/file"


def download_link(
    call: Call,
    content: str,
    *,
    life: timedelta,
    packed: bool = False,
    content_type: str = "text/plain; charset=utf-8",
) -> str:
    """A new link to ``content``; links that are over are forgotten."""
    token = call.world.hexadecimal(64)
    kept = {"content": content, "gzip": packed, "type": content_type, "until": moment_text(call.world.now() + life)}
    call.store.put("file", token, kept)
    for old, file in call.store.all("file"):
        if moment_of(file["until"]) < call.world.now():
            call.store.delete("file", old)
    return f"{call.request.base_url}{PATH}?token={token}" + ("&tartype=gzip" if packed else "")


def download(call: Call) -> Reply:
    """The file behind a link, unsigned."""
    kept = call.store.get("file", call.query_value("token", Text(128, required=True)) or "")
    if kept is None or call.world.now() > moment_of(kept["until"]):
        raise not_there("下载链接已失效", "The link is over.")
    content = kept["content"].encode()
    if kept["gzip"]:
        return unsigned(call.world, 200, gzip.compress(content, mtime=0), content_type="application/octet-stream")
    return unsigned(call.world, 200, content, content_type=kept["type"])


ROUTES: Final = (Route("GET", PATH, download),)
