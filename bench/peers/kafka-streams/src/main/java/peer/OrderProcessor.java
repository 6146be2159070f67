package peer;

import static java.util.Map.entry;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.util.Utf8;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Joins engine statuses and executions per order; one instance per task, fed by both sources. */
final class OrderProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    static final String STORE = "orders";
    static final String TO_STATUS = "to-status";
    static final String TO_ENRICHMENT = "to-enrichment";

    private static final byte[] CHANGED = "ORDER_STATUS_CHANGED".getBytes(StandardCharsets.US_ASCII);
    private static final Utf8 BUY = new Utf8("BUY");
    private static final Utf8 FILLED = new Utf8("FILLED");
    private static final Utf8 PARTIALLY_FILLED = new Utf8("PARTIALLY_FILLED");
    private static final Utf8 CANCELED = new Utf8("CANCELED");
    private static final Utf8 EXPIRED = new Utf8("EXPIRED");
    private static final Utf8 REJECTED = new Utf8("REJECTED");
    private static final Utf8 COMMISSION = new Utf8("COMMISSION");
    private static final Utf8 VENUE = new Utf8("VENUE");
    private static final Utf8 SEC = new Utf8("SEC");
    private static final Utf8 TAF = new Utf8("TAF");
    private static final int VERSION = 1;

    private final String statusTopic;
    private final Inputs.Status status = new Inputs.Status();
    private final Inputs.Execution execution = new Inputs.Execution();
    private final OrderState state = new OrderState();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> store;

    // Of the event in hand, for the writers.
    private byte[] key;
    private long occurredAt;
    private Utf8 code;
    private long commission;
    private long taf;
    private long sec;
    private long venueFee;

    private final Wire.Writer consolidated = new Wire.Writer("orders.status-value", 1, Map.ofEntries(
            entry("eventType", Wire.constant("ORDER_STATUS_CONSOLIDATED")),
            entry("version", out -> out.writeInt(VERSION)),
            entry("occurredAt", out -> out.writeLong(occurredAt)),
            entry("key", out -> out.writeBytes(key)), // a string, given as its UTF-8 bytes
            entry("order.id", out -> out.writeString(state.orderId)),
            entry("order.parentId", out -> Wire.optional(out, state.parentId)),
            entry("order.symbol", out -> out.writeString(state.symbol)),
            entry("order.side", out -> out.writeString(state.side)),
            entry("order.quantity", out -> out.writeLong(state.quantity)),
            entry("status.code", out -> out.writeString(code)),
            entry("status.filledQuantity", out -> out.writeLong(state.filled)),
            entry("status.leavesQuantity", out -> Wire.optional(out, true, leaves())),
            entry("status.avgPrice", out -> Wire.optional(out, state.filled > 0, average())),
            entry("sequence", out -> out.writeLong(state.sequence)),
            entry("source", Wire.constant("status-aggregator")),
            entry("venue", out -> Wire.optional(out, state.venue)),
            entry("arrivalPrice", out -> Wire.optional(out, state.hasArrival, state.arrivalPrice))));

    private final Wire.Writer enriched = new Wire.Writer("orders.enrichment-value", 3, Map.ofEntries(
            entry("eventType", Wire.constant("ORDER_ENRICHED")),
            entry("version", out -> out.writeInt(VERSION)),
            entry("occurredAt", out -> out.writeLong(occurredAt)),
            entry("key", out -> out.writeBytes(key)),
            entry("symbol", out -> out.writeString(state.symbol)),
            entry("venue", out -> Wire.optional(out, state.venue)),
            entry("side", out -> out.writeString(state.side)),
            entry("filledQuantity", out -> out.writeLong(state.filled)),
            entry("avgPrice", out -> Wire.optional(out, true, average())),
            entry("notional", out -> out.writeLong(state.notional)),
            entry("slippageBps", this::writeSlippage),
            entry("fees", this::writeFees),
            entry("totalFees", out -> out.writeLong(state.totalFees)),
            entry("lastExecId", out -> Wire.optional(out, execution.execId)),
            entry("lastQuantity", out -> out.writeLong(execution.lastQuantity)),
            entry("lastPrice", out -> Wire.optional(out, true, execution.lastPrice)),
            entry("sequence", out -> out.writeLong(state.sequence)),
            entry("source", Wire.constant("order-enrichment"))));

    OrderProcessor(String statusTopic) {
        this.statusTopic = statusTopic;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        this.store = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> input) {
        try {
            if (context.recordMetadata().orElseThrow().topic().equals(statusTopic)) {
                if (status.reader.startsWith(input.value(), CHANGED)) {
                    status.reader.read(input.value());
                    onStatus(input);
                }
            } else {
                execution.reader.read(input.value());
                if (execution.isTrade()) {
                    onTrade(input);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void onStatus(Record<byte[], byte[]> input) throws IOException {
        load(input.key());
        state.orderId = status.orderId;
        state.parentId = status.parentId;
        state.symbol = status.symbol;
        state.side = status.side;
        state.quantity = status.quantity;
        state.engineCode = status.code;
        if (status.venue != null) {
            state.venue = status.venue;
        }
        if (status.hasArrival) {
            state.hasArrival = true;
            state.arrivalPrice = status.arrivalPrice;
        }
        save(input, status.occurredAt);
    }

    private void onTrade(Record<byte[], byte[]> input) throws IOException {
        boolean known = load(input.key());
        if (!state.addExecution(execution.venue, execution.tradeDate, execution.execId)) {
            return;
        }
        if (!known) {
            state.orderId = orderIdOf(input.key());
            state.symbol = execution.symbol;
            state.side = execution.side;
            state.quantity = execution.orderQuantity;
            state.venue = execution.venue;
        }
        long quantity = execution.lastQuantity;
        long notional = quantity * execution.lastPrice;
        state.filled += quantity;
        state.notional += notional;
        commission = Fees.commission(state.filled, state.notional) - state.commission;
        taf = isSell() ? Fees.taf(quantity) : 0;
        sec = isSell() ? Fees.sec(notional) : 0;
        venueFee = execution.removed ? Fees.venueRemoved(quantity) : execution.added ? Fees.venueAdded(quantity) : 0;
        state.commission += commission;
        state.totalFees += commission + taf + sec + venueFee;
        save(input, execution.occurredAt);
        context.forward(input.withValue(enriched.write()), TO_ENRICHMENT);
    }

    private boolean load(byte[] orderKey) {
        byte[] stored = store.get(orderKey);
        if (stored == null) {
            state.clear();
            return false;
        }
        state.read(stored);
        return true;
    }

    /** Stores the changed state under the next sequence and sends the consolidated status. */
    private void save(Record<byte[], byte[]> input, long at) throws IOException {
        state.sequence++;
        store.put(input.key(), state.write());
        key = input.key();
        occurredAt = at;
        code = statusCode();
        context.forward(input.withValue(consolidated.write()), TO_STATUS);
    }

    /** Status by precedence: full fill, then the engine's terminal code, then a partial fill. */
    private Utf8 statusCode() {
        if (state.filled > 0 && state.filled >= state.quantity) {
            return FILLED;
        }
        if (isEnded(state.engineCode)) {
            return state.engineCode;
        }
        return state.filled > 0 ? PARTIALLY_FILLED : state.engineCode;
    }

    private static boolean isEnded(Utf8 engineCode) {
        return engineCode != null
                && (engineCode.equals(CANCELED) || engineCode.equals(EXPIRED) || engineCode.equals(REJECTED));
    }

    private boolean isSell() {
        return !state.side.equals(BUY);
    }

    private long leaves() {
        return isEnded(code) ? 0 : Math.max(0, state.quantity - state.filled);
    }

    private long average() {
        return state.filled > 0 ? state.notional / state.filled : 0;
    }

    private void writeSlippage(BinaryEncoder out) throws IOException {
        boolean known = state.hasArrival && state.arrivalPrice != 0;
        out.writeIndex(known ? 1 : 0);
        if (known) {
            double cost = (double) (average() - state.arrivalPrice) / state.arrivalPrice * 1e4;
            out.writeDouble(isSell() ? -cost : cost);
        }
    }

    private void writeFees(BinaryEncoder out) throws IOException {
        boolean venueCharges = execution.removed || execution.added;
        out.writeArrayStart();
        out.setItemCount(1 + (isSell() ? 2 : 0) + (venueCharges ? 1 : 0));
        writeFee(out, COMMISSION, commission);
        if (isSell()) {
            writeFee(out, TAF, taf);
            writeFee(out, SEC, sec);
        }
        if (venueCharges) {
            writeFee(out, VENUE, venueFee);
        }
        out.writeArrayEnd();
    }

    private static void writeFee(BinaryEncoder out, Utf8 kind, long amount) throws IOException {
        out.startItem();
        out.writeString(kind);
        out.writeLong(amount);
    }

    private static Utf8 orderIdOf(byte[] orderKey) {
        int bar = 0;
        while (bar < orderKey.length && orderKey[bar] != '|') {
            bar++;
        }
        return new Utf8(Arrays.copyOfRange(orderKey, Math.min(bar + 1, orderKey.length), orderKey.length));
    }
}
