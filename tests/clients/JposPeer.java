// UnionPay POS made of jPOS, unmodified but for a field table: packs and unpacks dumps, is a terminal, is a host.
// MAC, key unwrapping and check values are written out here from the sheet, over javax.crypto.
//
//   repack            each line of standard input is a body in hex; prints its fields and the body packed again
//   terminal PORT TMK each line is a message "MTI SEALED n=hex …" to be sent; prints the answer in the same form
//   host TMK          prints its port, then each message that comes; a line "MTI/n=value" of standard input sets field
//                     n of the answers to that type
//
// Values are hex of what stands on the wire for texts and bytes, and digits for digits. SEALED is 1 with a MAC.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;
import org.jpos.iso.BaseChannel;
import org.jpos.iso.BcdPrefixer;
import org.jpos.iso.IFB_BINARY;
import org.jpos.iso.IFB_BITMAP;
import org.jpos.iso.IFB_LLCHAR;
import org.jpos.iso.IFB_LLLBINARY;
import org.jpos.iso.IFB_LLLCHAR;
import org.jpos.iso.IFB_LLLNUM;
import org.jpos.iso.IFB_LLNUM;
import org.jpos.iso.IFB_NUMERIC;
import org.jpos.iso.IF_CHAR;
import org.jpos.iso.ISOBasePackager;
import org.jpos.iso.ISOException;
import org.jpos.iso.ISOFieldPackager;
import org.jpos.iso.ISOMsg;
import org.jpos.iso.ISOServer;
import org.jpos.iso.ISOStringFieldPackager;
import org.jpos.iso.ISOUtil;
import org.jpos.iso.Interpreter;
import org.jpos.iso.NullPadder;
import org.jpos.iso.ServerChannel;
import org.jpos.iso.channel.NACChannel;
import org.jpos.util.ThreadPool;

public class JposPeer {
    static final byte[] HEAD = ISOUtil.hex2byte("6000030000603100310100");

    /** The sheet's field list. */
    static class UnionPay extends ISOBasePackager {
        UnionPay() {
            ISOFieldPackager[] rows = new ISOFieldPackager[65];
            rows[0] = new IFB_NUMERIC(4, "MTI", true);
            rows[1] = new IFB_BITMAP(8, "BITMAP");
            int[][] digits = {{3, 6}, {4, 12}, {11, 6}, {12, 6}, {13, 4}, {14, 4}, {15, 4}, {25, 2}, {26, 2}, {53, 16}};
            for (int[] row : digits) rows[row[0]] = new IFB_NUMERIC(row[1], "", true);
            rows[22] = new IFB_NUMERIC(3, "", false);
            rows[23] = new IFB_NUMERIC(3, "", true);
            rows[2] = new IFB_LLNUM(19, "", false);
            rows[32] = new IFB_LLNUM(11, "", false);
            rows[35] = new ISOStringFieldPackager(37, "", NullPadder.INSTANCE, new Nibbles(), BcdPrefixer.LL);
            rows[36] = new ISOStringFieldPackager(104, "", NullPadder.INSTANCE, new Nibbles(), BcdPrefixer.LLL);
            for (int[] row : new int[][] {{48, 322}, {60, 19}, {61, 29}}) rows[row[0]] = new IFB_LLLNUM(row[1], "", false);
            int[][] texts = {{37, 12}, {38, 6}, {39, 2}, {41, 8}, {42, 15}, {49, 3}};
            for (int[] row : texts) rows[row[0]] = new IF_CHAR(row[1], "");
            rows[44] = new IFB_LLCHAR(25, "");
            rows[54] = new IFB_LLLCHAR(20, "");
            rows[63] = new IFB_LLLCHAR(163, "");
            int[][] bytes = {{55, 999}, {57, 100}, {58, 100}, {59, 999}, {62, 999}};
            for (int[] row : bytes) rows[row[0]] = new IFB_LLLBINARY(row[1], "");
            rows[52] = new IFB_BINARY(8, "");
            rows[64] = new IFB_BINARY(8, "");
            setFieldPackager(rows);
        }
    }

    /** Nibbles 0 to F, the last one filled with 0: encrypted tracks are no decimal digits. */
    static class Nibbles implements Interpreter {
        public void interpret(String data, byte[] out, int at) {
            byte[] raw = ISOUtil.hex2byte(data.length() % 2 == 0 ? data : data + "0");
            System.arraycopy(raw, 0, out, at, raw.length);
        }

        public String uninterpret(byte[] raw, int at, int length) {
            return ISOUtil.hexString(raw, at, (length + 1) / 2).substring(0, length);
        }

        public int getPackedLength(int units) {
            return (units + 1) / 2;
        }
    }

    static byte[] ecb(byte[] key, byte[] data, int mode) throws Exception {
        byte[] whole = new byte[24];
        for (int at = 0; at < 24; at++) whole[at] = key[at % key.length];
        Cipher cipher = Cipher.getInstance("DESede/ECB/NoPadding");
        cipher.init(mode, new SecretKeySpec(whole, "DESede"));
        return cipher.doFinal(data);
    }

    /** The UnionPay ECB MAC of everything before field 64. */
    static byte[] mac(byte[] key, byte[] body) throws Exception {
        byte[] mixed = new byte[8];
        for (int at = 0; at < body.length - 8; at++) mixed[at % 8] ^= body[at];
        byte[] text = ISOUtil.hexString(mixed).getBytes(StandardCharsets.US_ASCII);
        byte[] half = ecb(key, Arrays.copyOf(text, 8), Cipher.ENCRYPT_MODE);
        for (int at = 0; at < 8; at++) half[at] ^= text[8 + at];
        byte[] last = ecb(key, half, Cipher.ENCRYPT_MODE);
        return ISOUtil.hexString(last).substring(0, 8).getBytes(StandardCharsets.US_ASCII);
    }

    static ISOMsg sealed(ISOMsg message, byte[] key) throws Exception {
        message.set(64, new byte[8]);
        message.set(64, mac(key, message.pack()));
        return message;
    }

    static boolean isGenuine(ISOMsg message, byte[] key) throws Exception {
        return message.hasField(64) && Arrays.equals(message.getBytes(64), mac(key, message.pack()));
    }

    static boolean isText(int number) {
        return " 37 38 39 41 42 44 49 54 63 ".contains(" " + number + " ");
    }

    static String told(ISOMsg message) throws ISOException {
        StringBuilder line = new StringBuilder(message.getMTI());
        for (int number = 2; number <= 64; number++) {
            if (!message.hasField(number)) continue;
            Object value = message.getValue(number);
            String shown = value instanceof byte[] ? ISOUtil.hexString((byte[]) value)
                : isText(number) ? ISOUtil.hexString(((String) value).getBytes(StandardCharsets.ISO_8859_1))
                : (String) value;
            line.append(' ').append(number).append('=').append(shown);
        }
        return line.toString();
    }

    static void put(ISOMsg message, String word) throws ISOException {
        int number = Integer.parseInt(word.substring(0, word.indexOf('=')));
        String value = word.substring(word.indexOf('=') + 1);
        if (isText(number)) message.set(number, new String(ISOUtil.hex2byte(value), StandardCharsets.ISO_8859_1));
        else if (" 52 55 57 58 59 62 64 ".contains(" " + number + " ")) message.set(number, ISOUtil.hex2byte(value));
        else message.set(number, value);
    }

    static ISOMsg message(String mti) throws ISOException {
        ISOMsg made = new ISOMsg(mti);
        made.setPackager(new UnionPay());
        return made;
    }

    static void repack(BufferedReader lines) throws Exception {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ISOMsg read = message("0000");
            read.unpack(ISOUtil.hex2byte(line));
            System.out.println(told(read) + " " + ISOUtil.hexString(read.pack()));
        }
    }

    static void terminal(BufferedReader lines, int port, byte[] tmk) throws Exception {
        byte[] key = null;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            ISOMsg request = message(words[0]);
            for (int at = 2; at < words.length; at++) put(request, words[at]);
            boolean isSealed = words[1].equals("1");
            if (isSealed) sealed(request, key);
            BaseChannel channel = new NACChannel("127.0.0.1", port, new UnionPay(), HEAD);
            channel.setTimeout(10_000);
            channel.connect();
            channel.send(request);
            ISOMsg answer = channel.receive();
            channel.disconnect();
            answer.setPackager(new UnionPay());
            if (isSealed && !isGenuine(answer, key)) throw new IllegalStateException("the answer's MAC is wrong");
            if (answer.getMTI().equals("0810") && answer.getString(39).equals("00")) {
                byte[] keys = answer.getBytes(62);
                key = ecb(tmk, Arrays.copyOfRange(keys, 20, 28), Cipher.DECRYPT_MODE);
                byte[] check = Arrays.copyOf(ecb(key, new byte[8], Cipher.ENCRYPT_MODE), 4);
                if (!Arrays.equals(check, Arrays.copyOfRange(keys, 36, 40))) throw new IllegalStateException("check value");
            }
            System.out.println(told(answer) + " head=" + ISOUtil.hexString(answer.getHeader()));
        }
    }

    static byte[] keys(byte[] tmk, byte[] mak) throws Exception {
        byte[] wide = ISOUtil.hex2byte("0123456789ABCDEF1032547698BADCFE"), found = new byte[60];
        byte[][] clear = {wide, mak, wide};
        int[] starts = {0, 20, 40};
        for (int number = 0; number < 3; number++) {
            byte[] wrapped = ecb(tmk, clear[number], Cipher.ENCRYPT_MODE);
            System.arraycopy(wrapped, 0, found, starts[number], wrapped.length);
            byte[] check = ecb(clear[number], new byte[8], Cipher.ENCRYPT_MODE);
            System.arraycopy(check, 0, found, starts[number] + 16, 4);
        }
        return found;
    }

    static ISOMsg answer(ISOMsg request, byte[] tmk, byte[] mak, Map<String, String> wishes) throws Exception {
        String mti = request.getMTI();
        ISOMsg answer = (ISOMsg) request.clone(new int[] {0, 3, 4, 11, 25, 41, 42, 49, 60});
        answer.setPackager(new UnionPay());
        answer.setHeader(request.getISOHeader());
        answer.setMTI(String.format("%04d", Integer.parseInt(mti) + 10));
        answer.set(12, "101500");
        answer.set(13, "0318");
        answer.set(32, "00012900");
        answer.set(37, "0318" + ISOUtil.zeropad(request.getString(11), 8));
        if (!mti.equals("0500")) answer.set(39, "00");
        if (mti.equals("0800")) answer.set(62, keys(tmk, mak));
        boolean isSealed = mti.equals("0200") || mti.equals("0220") || mti.equals("0400");
        boolean isGenuine = !isSealed || isGenuine(request, mak);
        if (!isGenuine) answer.set(39, "A0");
        for (Map.Entry<String, String> wish : wishes.entrySet()) {
            if (wish.getKey().startsWith(mti)) put(answer, wish.getKey().substring(5) + "=" + wish.getValue());
        }
        return isSealed && isGenuine ? sealed(answer, mak) : answer;
    }

    static void host(BufferedReader lines, byte[] tmk) throws Exception {
        byte[] mak = ISOUtil.hex2byte("4F6D20C8B36E9D01");
        Map<String, String> wishes = new ConcurrentHashMap<>();
        ServerChannel line = new NACChannel(new UnionPay(), HEAD);
        ISOServer server = new ISOServer(0, line, new ThreadPool(1, 8));
        server.addISORequestListener((source, request) -> {
            try {
                request.setPackager(new UnionPay());
                System.out.println(told(request));
                source.send(answer(request, tmk, mak, wishes));
            } catch (Exception error) {
                System.out.println("failed " + error);
            }
            return true;
        });
        ServerSocket socket = new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
        server.setSocketFactory(port -> socket);
        System.out.println(socket.getLocalPort());
        Thread thread = new Thread(server);
        thread.setDaemon(true);
        thread.start();
        for (String wish = lines.readLine(); wish != null; wish = lines.readLine()) {
            wishes.put(wish.substring(0, wish.indexOf('=')), wish.substring(wish.indexOf('=') + 1));
            System.out.println("set");
        }
        System.exit(0);
    }

    public static void main(String[] words) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        switch (words[0]) {
            case "repack" -> repack(lines);
            case "terminal" -> terminal(lines, Integer.parseInt(words[1]), ISOUtil.hex2byte(words[2]));
            case "host" -> host(lines, ISOUtil.hex2byte(words[1]));
            default -> throw new IllegalArgumentException(words[0]);
        }
    }
}
