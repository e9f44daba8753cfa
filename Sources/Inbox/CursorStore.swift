// How far each device has acknowledged its user's log. Acks are cumulative, so those that wait for the next write
// collapse into the newest a device; losing the last second of them costs nothing but a smaller cursor.
import Logging
import Postgres
import Synchronization

public final class CursorStore: Sendable {
    private struct Device: Hashable {
        let user: Int64
        let device: Int64
    }

    private let postgres: PostgresClient
    private let logger: Logger
    private let pending = Mutex<[Device: Int64]>([:])

    public init(postgres: PostgresClient, logger: Logger) {
        self.postgres = postgres
        self.logger = logger
    }

    public func acknowledge(user: Int64, device: Int64, seq: Int64) {
        pending.withLock { $0[Device(user: user, device: device), default: 0].raise(to: seq) }
    }

    /// Writes what has gathered, once a second, until it is cancelled. A write that this interrupts is kept for whoever
    /// flushes next.
    public func run() async {
        while (try? await Task.sleep(for: .seconds(1))) != nil { await flush() }
    }

    public func flush() async {
        let batch = pending.withLock { pending in
            defer { pending = [:] }
            return pending
        }
        guard !batch.isEmpty else { return }
        let acks = batch.sorted { ($0.key.user, $0.key.device) < ($1.key.user, $1.key.device) }
        do {
            try await postgres.query(
                """
                INSERT INTO inbox.cursors AS c (user_id, device_id, acked_seq)
                SELECT * FROM unnest(\(acks.map(\.key.user)), \(acks.map(\.key.device)), \(acks.map(\.value)))
                ON CONFLICT (user_id, device_id) DO UPDATE SET acked_seq = excluded.acked_seq
                WHERE c.acked_seq < excluded.acked_seq
                """)
        } catch {
            logger.warning("acks not written; kept for the next second", metadata: ["error": "\(error)"])
            pending.withLock { pending in
                for (device, seq) in batch { pending[device, default: 0].raise(to: seq) }
            }
        }
    }
}

extension Int64 {
    fileprivate mutating func raise(to other: Int64) {
        self = Swift.max(self, other)
    }
}
