package peer;

import static java.util.Map.entry;

import java.util.Map;
import org.apache.avro.util.Utf8;

/** The two inputs, as far as the job needs them. Instances are reused from record to record. */
final class Inputs {
    private Inputs() {}

    /** An engine's status. */
    static final class Status {
        long occurredAt;
        Utf8 orderId;
        Utf8 parentId;
        Utf8 symbol;
        Utf8 side;
        long quantity;
        Utf8 code;
        Utf8 venue;
        boolean hasArrival;
        long arrivalPrice;

        final Wire.Reader reader = new Wire.Reader("orders.status-value", 1, Map.ofEntries(
                entry("occurredAt", in -> occurredAt = in.readLong()),
                entry("order.id", in -> orderId = in.readString(orderId)),
                entry("order.parentId", in -> parentId = Wire.optional(in)),
                entry("order.symbol", in -> symbol = in.readString(symbol)),
                entry("order.side", in -> side = in.readString(side)),
                entry("order.quantity", in -> quantity = in.readLong()),
                entry("status.code", in -> code = in.readString(code)),
                entry("venue", in -> venue = Wire.optional(in)),
                entry("arrivalPrice", in -> {
                    hasArrival = in.readIndex() != 0;
                    arrivalPrice = hasArrival ? in.readLong() : 0;
                })));
    }

    /** A venue's report. */
    static final class Execution {
        private static final Utf8 REPORTED = new Utf8("EXECUTION_REPORTED");
        private static final Utf8 TRADE = new Utf8("TRADE");
        private static final Utf8 ADDED = new Utf8("ADDED");
        private static final Utf8 REMOVED = new Utf8("REMOVED");

        long occurredAt;
        Utf8 venue;
        int tradeDate;
        Utf8 execId;
        Utf8 symbol;
        Utf8 side;
        long orderQuantity;
        long lastQuantity;
        long lastPrice;
        boolean added;
        boolean removed;

        private Utf8 eventType;
        private Utf8 execType;
        private Utf8 liquidity;
        private boolean priced;

        final Wire.Reader reader = new Wire.Reader("orders.executions-value", 2, Map.ofEntries(
                entry("eventType", in -> eventType = in.readString(eventType)),
                entry("occurredAt", in -> occurredAt = in.readLong()),
                entry("venue", in -> venue = in.readString(venue)),
                entry("tradeDate", in -> tradeDate = in.readInt()),
                entry("execId", in -> execId = in.readString(execId)),
                entry("execType", in -> execType = in.readString(execType)),
                entry("symbol", in -> symbol = in.readString(symbol)),
                entry("side", in -> side = in.readString(side)),
                entry("orderQuantity", in -> orderQuantity = in.readLong()),
                entry("lastQuantity", in -> lastQuantity = in.readLong()),
                entry("lastPrice", in -> {
                    priced = in.readIndex() != 0;
                    lastPrice = priced ? in.readLong() : 0;
                }),
                entry("liquidity", in -> {
                    boolean told = in.readIndex() != 0;
                    liquidity = told ? in.readString(liquidity) : liquidity;
                    added = told && liquidity.equals(ADDED);
                    removed = told && liquidity.equals(REMOVED);
                })));

        boolean isTrade() {
            boolean trade = execType.equals(TRADE) && eventType.equals(REPORTED);
            if (trade && !priced) {
                throw new IllegalArgumentException("trade without lastPrice: " + execId);
            }
            return trade;
        }
    }
}
