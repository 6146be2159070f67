package peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;

/**
 * Avro records on the wire: byte 0x00, int32 big-endian schema id, Avro binary.
 *
 * <p>The job says per field, by its name ("order.symbol" inside a nested record), how to take it
 * from the decoder or give it to the encoder; the contract decides which fields there are and in
 * which order. Fields that the job does not name are skipped, or written as null. This spares the
 * boxed values and lookups of generic records. Nothing here is thread safe.
 */
final class Wire {
    private static final int HEADER = 5;

    private Wire() {}

    /** Takes one field from the decoder. */
    interface Read {
        void from(BinaryDecoder in) throws IOException;
    }

    /** Gives one field to the encoder. */
    interface Write {
        void to(BinaryEncoder out) throws IOException;
    }

    /** Decodes records of one type, with a reused decoder. */
    static final class Reader {
        private final byte[] header;
        private final Read[] steps;
        private BinaryDecoder decoder;

        Reader(String contract, int id, Map<String, Read> fields) {
            header = header(id);
            List<Read> plan = new ArrayList<>();
            Set<String> unused = new HashSet<>(fields.keySet());
            plan(schema(contract), "", fields, unused, plan);
            refuse(contract, unused);
            steps = plan.toArray(Read[]::new);
        }

        private static void plan(Schema record, String path, Map<String, Read> fields, Set<String> unused, List<Read> plan) {
            for (Schema.Field field : record.getFields()) {
                String name = path + field.name();
                if (unused.remove(name)) {
                    plan.add(fields.get(name));
                } else if (field.schema().getType() == Schema.Type.RECORD) {
                    plan(field.schema(), name + ".", fields, unused, plan);
                } else {
                    plan.add(in -> GenericDatumReader.skip(field.schema(), in));
                }
            }
        }

        /** Is the record's first field the given string? Answers without decoding the rest. */
        boolean startsWith(byte[] payload, byte[] ascii) {
            // A string shorter than 64 bytes has a one-byte zigzag length.
            int at = HEADER + 1;
            return payload.length >= at + ascii.length
                    && payload[HEADER] == (byte) (ascii.length << 1)
                    && Arrays.equals(payload, at, at + ascii.length, ascii, 0, ascii.length);
        }

        void read(byte[] payload) throws IOException {
            if (payload.length < HEADER || !Arrays.equals(payload, 0, HEADER, header, 0, HEADER)) {
                throw new IllegalArgumentException("not framed with the schema id expected");
            }
            decoder = DecoderFactory.get().binaryDecoder(payload, HEADER, payload.length - HEADER, decoder);
            for (Read step : steps) {
                step.from(decoder);
            }
        }
    }

    /** Encodes records of one type, with a reused encoder and buffer. */
    static final class Writer {
        private final byte[] header;
        private final Write[] steps;
        private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(512);
        private BinaryEncoder encoder;

        Writer(String contract, int id, Map<String, Write> fields) {
            header = header(id);
            List<Write> plan = new ArrayList<>();
            Set<String> unused = new HashSet<>(fields.keySet());
            plan(schema(contract), "", fields, unused, plan);
            refuse(contract, unused);
            steps = plan.toArray(Write[]::new);
        }

        private static void plan(Schema record, String path, Map<String, Write> fields, Set<String> unused, List<Write> plan) {
            for (Schema.Field field : record.getFields()) {
                String name = path + field.name();
                if (unused.remove(name)) {
                    plan.add(fields.get(name));
                } else if (field.schema().getType() == Schema.Type.RECORD) {
                    plan(field.schema(), name + ".", fields, unused, plan);
                } else if (field.schema().isNullable()) {
                    int branch = field.schema().getIndexNamed("null");
                    plan.add(out -> out.writeIndex(branch));
                } else {
                    throw new IllegalStateException("the contract asks for " + name + ", which this job does not know");
                }
            }
        }

        byte[] write() throws IOException {
            buffer.reset();
            buffer.writeBytes(header);
            encoder = EncoderFactory.get().binaryEncoder(buffer, encoder);
            for (Write step : steps) {
                step.to(encoder);
            }
            encoder.flush();
            return buffer.toByteArray();
        }
    }

    static Write constant(String text) {
        Utf8 value = new Utf8(text.getBytes(StandardCharsets.UTF_8));
        return out -> out.writeString(value);
    }

    static Utf8 optional(BinaryDecoder in) throws IOException {
        return in.readIndex() == 0 ? null : in.readString(null);
    }

    static void optional(BinaryEncoder out, Utf8 value) throws IOException {
        out.writeIndex(value == null ? 0 : 1);
        if (value != null) {
            out.writeString(value);
        }
    }

    static void optional(BinaryEncoder out, boolean present, long value) throws IOException {
        out.writeIndex(present ? 1 : 0);
        if (present) {
            out.writeLong(value);
        }
    }

    private static Schema schema(String contract) {
        try (InputStream in = Wire.class.getResourceAsStream("/schemas/" + contract + "/v1.avsc")) {
            return new Schema.Parser().parse(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] header(int id) {
        return new byte[] {0, (byte) (id >>> 24), (byte) (id >>> 16), (byte) (id >>> 8), (byte) id};
    }

    private static void refuse(String contract, Set<String> unused) {
        if (!unused.isEmpty()) {
            throw new IllegalStateException("contract " + contract + " has no " + unused);
        }
    }
}
