"""The line to the acquirer: one message out, its answer in, signed on and checked both ways (sheet 1, 3.3, 6, 8.1)."""

from __future__ import annotations

from typing import Final

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM, Answer, Meaning, is_answer, read_answer
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed
from unicom_coupon_adapters.unionpay_pos.compliance import checked
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import Frame, header_of
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.keys import MasterKey, load_working_keys
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings
from unicom_coupon_adapters.unionpay_pos.subfields import TransactionType
from unicom_coupon_adapters.unionpay_pos.terminal import TerminalBook, WrappedKeys
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal
from unicom_coupon_sdk.errors import ForgedMessage, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Flow, FrameCall, Now
from unicom_coupon_sdk.platform.wire import FrameEndpoint

_LARGEST_FRAME: Final = 8192


class Line:
    """One terminal on one acquirer's line. Holds keys, no state: that is in the terminal's book."""

    def __init__(self, settings: UnionPayPosSettings, *, terminal: Terminal, master: MasterKey) -> None:
        self.terminal = terminal
        self.book = TerminalBook(terminal.number, merchant=terminal.merchant)
        self._settings = settings
        self._master = master
        self._mac: tuple[WrappedKeys, MacKey] | None = None
        self._tpdu = bytes.fromhex(settings.tpdu)
        self._header = header_of(software=settings.software)
        self._endpoint = FrameEndpoint(
            host=settings.host,
            port=settings.port,
            tls=settings.tls,
            server_name=settings.server_name,
            ca_file=settings.ca_file,
            largest_frame=_LARGEST_FRAME,
        )

    @property
    def timeout_s(self) -> float:
        """How long an answer is waited for."""
        return self._settings.response_timeout_s

    @property
    def master_check(self) -> str:
        """The check value of the terminal's master key, in hexadecimal digits. It is no secret."""
        return self._master.check().hex().upper()

    def mac_key(self, keys: WrappedKeys) -> MacKey:
        """The MAC key in ``keys``, unwrapped once."""
        known = self._mac
        if known is not None and known[0] == keys:
            return known[1]
        working = load_working_keys(keys.field62, network_code=keys.network, master=self._master)
        key = MacKey(working.mak, algorithm=self._settings.mac)
        self._mac = (keys, key)
        return key

    def exchange(self, message: Message, *, keys: WrappedKeys | None) -> Flow[Answer]:
        """Send ``message`` once and hand back its answer; with ``keys`` both have a MAC.

        Raises ``PlatformUnavailable`` when nothing was sent, ``PlatformUnknown`` when no answer came that can be read,
        and ``ForgedMessage`` for a success whose MAC is wrong.
        """
        checked(message)
        key = None if keys is None else self.mac_key(keys)
        body = pack(message) if key is None else key.seal(pack_unsealed(message))
        call = FrameCall(
            endpoint=self._endpoint,
            content=Frame(self._tpdu, self._header, body).content,
            timeout_s=self.timeout_s,
            accepts=is_answer(message),
        )
        answer = read_answer((yield from call), request=message, key=key)
        if answer.requirement == 3:  # the host wants fresh keys, after this transaction
            yield from self.book.drop_keys(keys)
        return answer

    def is_believed(self, answer: Answer) -> bool:
        """Whether a decline may be taken for the host's: by its MAC, or because the line was agreed to need none."""
        return answer.is_authentic or not self._settings.verify_decline_mac

    def signed_on(self) -> Flow[WrappedKeys]:
        """The working keys, after a sign-on if there are none of today.

        A failed sign-on is ``PlatformUnavailable`` whatever happened to it: no transaction was sent.
        """
        now = yield from Now()
        keys = yield from self.book.keys(now=now)
        return keys if keys is not None else (yield from self.sign_on())

    def sign_on(self) -> Flow[WrappedKeys]:
        """Fetch fresh working keys; all their check values are checked before any is used.

        Raises ``PlatformUnavailable``, and ``PlatformRefused`` when the host does not know the terminal.
        """
        sequence = yield from self.book.next_sequence()
        request = messages.sign_on(
            self.terminal,
            sequence=sequence,
            keys=self._settings.sign_on,
            certificate=self._settings.licence,
            serial=self.terminal.number,
        )
        try:
            answer = yield from self.exchange(request, keys=None)
            if answer.meaning is not Meaning.DONE:
                raise answer.error()
            kind = TransactionType.parse(answer.message.text(60))
            keys = WrappedKeys(self._settings.sign_on.value, answer.message.data(62))
            self.mac_key(keys)
        except (PlatformUnknown, ForgedMessage, FrameError) as error:
            raise PlatformUnavailable(
                "unionpay_pos.sign_on_failed", platform=PLATFORM, reason=error.code, platform_code=error.platform_code
            ) from None
        now = yield from Now()
        yield from self.book.signed_on(keys, batch=int(kind.batch), trace=sequence.trace, now=now)
        return keys

    def ask(self, message: Message, *, keys: WrappedKeys) -> Flow[Answer]:
        """Send a message that changes nothing. Only an answer with a right MAC comes back.

        Raises ``PlatformUnknown`` and ``ForgedMessage`` as ``exchange`` does.
        """
        answer = yield from self.exchange(message, keys=keys)
        if not self.is_believed(answer):
            yield from self.book.drop_keys(keys)
            raise PlatformUnavailable("unionpay_pos.decline_unverified", platform=PLATFORM, platform_code=answer.code)
        return answer

    def echo(self) -> Flow[Answer]:
        """Whether the line lives; the answer has the host's clock in fields 12 and 13."""
        sequence = yield from self.book.next_sequence()
        return (yield from self.exchange(messages.echo(self.terminal, sequence=sequence), keys=None))
