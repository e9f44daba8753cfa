// What a client has done since the start, and in Prometheus' text format. The loop counts; any thread reads.
import Synchronization

public final class RedisCounters: Sendable {
    public final class Counter: Sendable {
        private let count = Atomic(0)
        func add(_ number: Int) { count.add(number, ordering: .relaxed) }
        func store(_ number: Int) { count.store(number, ordering: .relaxed) }
        public var value: Int { count.load(ordering: .relaxed) }
    }

    public let isConnected = Counter()
    public let sessions = Counter()
    public let failedAttempts = Counter()
    /// Answers that were errors.
    public let errors = Counter()
    /// Callers whose patience ended.
    public let timeouts = Counter()
    /// Commands that were not sent: there was no session, no room, or answers were overdue.
    public let refused = Counter()
    private let microseconds = Counter()
    /// Answers by their delay, each in the first bucket that is wide enough; the last one has no bound.
    private let delays: [Counter]

    private static let bounds: [Duration] = [
        .microseconds(100), .microseconds(250), .microseconds(500), .milliseconds(1), .microseconds(2500),
        .milliseconds(5), .milliseconds(10), .milliseconds(25), .milliseconds(100), .seconds(1),
    ]

    init() {
        delays = (0...Self.bounds.count).map { _ in Counter() }
    }

    func answered(after delay: Duration) {
        let bucket = Self.bounds.firstIndex { delay <= $0 } ?? Self.bounds.count
        delays[bucket].add(1)
        microseconds.add(Int(delay / .microseconds(1)))
    }

    public var answers: Int { delays.reduce(0) { $0 + $1.value } }

    public func metrics() -> String {
        var text = ""
        func add(_ name: String, _ type: String, _ help: String, _ value: Int) {
            text += "# HELP ringway_redis_\(name) \(help)\n# TYPE ringway_redis_\(name) \(type)\n"
            text += "ringway_redis_\(name) \(value)\n"
        }
        add("connected", "gauge", "Whether there is a session with Redis.", isConnected.value)
        add("sessions_total", "counter", "Sessions with Redis; each but the first is a reconnect.", sessions.value)
        add("failed_attempts_total", "counter", "Attempts to connect to Redis that failed.", failedAttempts.value)
        add("errors_total", "counter", "Commands that Redis answered with an error.", errors.value)
        add("timeouts_total", "counter", "Commands whose answer was not waited for any longer.", timeouts.value)
        add("refused_total", "counter", "Commands that were not sent.", refused.value)
        let name = "ringway_redis_seconds"
        text += "# HELP \(name) How long Redis takes to answer.\n# TYPE \(name) histogram\n"
        var total = 0
        for (bound, counter) in zip(Self.bounds, delays) {
            total += counter.value
            text += "\(name)_bucket{le=\"\(bound / .seconds(1))\"} \(total)\n"
        }
        total += delays[Self.bounds.count].value
        text += "\(name)_bucket{le=\"+Inf\"} \(total)\n\(name)_sum \(Double(microseconds.value) / 1e6)\n\(name)_count \(total)\n"
        return text
    }
}
