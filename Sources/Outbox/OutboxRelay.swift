// Carries a schema's outbox to its consumers. Any number of nodes may run one: a row is claimed by its lock, and others
// pass over it. A notification at the commit wakes the relay; a poll finds what a lost notification hid, and what is
// due again after a failure.
//
// Runs as one task, which owns nothing that others see.
import Foundation
import Logging
import Postgres

public struct OutboxRelay: Sendable {
    private static let pollInterval: Duration = .seconds(5)
    private static let backoffMax = 300.0

    private let schema: StaticString
    private let postgres: PostgresClient
    private let consumers: [String: OutboxConsumer]
    private let logger: Logger

    public init(schema: StaticString, postgres: PostgresClient, consumers: [OutboxConsumer], logger: Logger) {
        self.schema = schema
        self.postgres = postgres
        self.consumers = Dictionary(uniqueKeysWithValues: consumers.map { ($0.name, $0) })
        self.logger = logger
    }

    /// Until its task is cancelled.
    public func run() async {
        let (wakeUps, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [postgres] in
                for await _ in postgres.listen("ringway_outbox") { wake.yield() }
            }
            group.addTask {
                while !Task.isCancelled {
                    wake.yield()
                    try? await Task.sleep(for: Self.pollInterval)
                }
            }
            for await _ in wakeUps {
                await deliverAll()
                if Task.isCancelled { break }
            }
            group.cancelAll()
        }
    }

    /// All that is due now.
    public func deliverAll() async {
        do {
            while !Task.isCancelled, try await deliverOne() {}
        } catch {
            logger.warning("the outbox can't be read", metadata: ["schema": "\(schema)", "error": "\(error)"])
        }
    }

    /// How many rows wait for each consumer, and for how many seconds the oldest has.
    public func lag() async throws -> [(consumer: String, waiting: Int64, oldestSeconds: Double)] {
        let rows = try await postgres.query(
            """
            SELECT consumer, count(*), extract(epoch FROM max(now() - created_at))::float8
            FROM \(unescaped: schema).outbox GROUP BY consumer ORDER BY consumer
            """, timeout: .seconds(1))
        return try rows.map {
            let (consumer, waiting, oldest) = try $0.decode(String.self, Int64.self, Double.self)
            return (consumer, waiting, oldest)
        }
    }

    /// In Prometheus' text format; without the database it says nothing.
    public func metrics() async -> String {
        guard let lag = try? await lag() else { return "" }
        let known = Dictionary(uniqueKeysWithValues: lag.map { ($0.consumer, $0) })
        let names = consumers.keys.sorted()
        func family(_ name: String, _ help: String, _ value: (String) -> String) -> String {
            "# HELP \(name) \(help)\n# TYPE \(name) gauge\n"
                + names.map { "\(name){schema=\"\(schema)\",consumer=\"\($0)\"} \(value($0))\n" }.joined()
        }
        return family("ringway_outbox_waiting", "Entries that a consumer has still to do.") {
            "\(known[$0]?.waiting ?? 0)"
        } + family("ringway_outbox_lag_seconds", "How long the oldest of them has waited.") {
            "\(known[$0]?.oldestSeconds ?? 0)"
        }
    }

    /// False when nothing is due.
    private func deliverOne() async throws -> Bool {
        let failure = Failure()
        do {
            return try await postgres.transaction { connection in
                guard let (entry, consumer) = try await claim(on: connection) else { return false }
                let progress: OutboxProgress
                do {
                    progress = try await consumer.consume(entry, connection)
                } catch {
                    await failure.note(entry, consumer: consumer.name)
                    throw error
                }
                if progress == .done {
                    try await connection.query("DELETE FROM \(unescaped: schema).outbox WHERE id = \(entry.id)")
                }
                return true
            }
        } catch {
            guard let (entry, consumer) = await failure.entry else { throw error }
            let delay = min(Self.backoffMax, Double(1 << min(entry.attempts, 16)))
            logger.warning(
                "an outbox entry failed and is tried again",
                metadata: [
                    "schema": "\(schema)", "consumer": "\(consumer)", "entry": "\(entry.id)",
                    "attempts": "\(entry.attempts + 1)", "error": "\(error)",
                ])
            try await postgres.query(
                """
                UPDATE \(unescaped: schema).outbox
                SET attempts = attempts + 1, next_at = now() + make_interval(secs => \(delay)) WHERE id = \(entry.id)
                """)
            return true
        }
    }

    private func claim(on connection: PostgresConnection) async throws -> (OutboxEntry, OutboxConsumer)? {
        let rows = try await connection.query(
            """
            SELECT id, topic, consumer, key, payload, attempts FROM \(unescaped: schema).outbox AS entry
            WHERE next_at <= now() AND consumer = ANY (\(Array(consumers.keys)))
              AND NOT EXISTS (
                  SELECT FROM \(unescaped: schema).outbox AS earlier WHERE earlier.key = entry.key AND earlier.id < entry.id)
            ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
            """)
        guard
            let (id, topic, name, key, payload, attempts) = try rows.first?.decode(
                Int64.self, String.self, String.self, Int64.self, [UInt8].self, Int32.self),
            let consumer = consumers[name]
        else { return nil }
        return (OutboxEntry(id: id, topic: topic, key: key, payload: payload, attempts: Int(attempts)), consumer)
    }
}

/// What the last attempt of a transaction failed at, told across its closure.
private actor Failure {
    private(set) var entry: (OutboxEntry, consumer: String)?

    func note(_ entry: OutboxEntry, consumer: String) {
        self.entry = (entry, consumer)
    }
}
