// Tells Profile whose last session on this node has ended, once a second for all who left meanwhile. What can't be told
// is told with the next ones. Any thread leaves users here; one task reports them.
//
// Bounded by the users that were connected: each stands here once.
import Logging
import Synchronization

final class LastSeen: Sendable {
    private static let batch = 1000

    private let left = Mutex<Set<Int64>>([])
    private let record: @Sendable (_ users: [Int64]) async throws -> Void
    private let logger: Logger

    init(record: @escaping @Sendable (_ users: [Int64]) async throws -> Void, logger: Logger) {
        self.record = record
        self.logger = logger
    }

    func left(_ user: Int64) {
        left.withLock { _ = $0.insert(user) }
    }

    /// Until it is cancelled. A report that this interrupts is kept for whoever flushes next.
    func run() async {
        while (try? await Task.sleep(for: .seconds(1))) != nil { await flush() }
    }

    func flush() async {
        let users = left.withLock { users in
            defer { users = [] }
            return Array(users)
        }
        for start in stride(from: 0, to: users.count, by: Self.batch) {
            do {
                try await record(Array(users[start...].prefix(Self.batch)))
            } catch {
                logger.warning("last seen can't be recorded now", metadata: ["error": "\(error)"])
                left.withLock { $0.formUnion(users[start...]) }
                return
            }
        }
    }
}
