// Appends messages in batches: while one commit is under way, what arrives waits, and goes together in the next.
//
// Bounds: `queueMax` messages wait, at most `batchMax` go in one statement. A full queue refuses at once, which the
// sender is told with a time to try again.
// Order: messages are appended in the order in which they were offered, and results are handed out in that order.
// Threads: `offer` may be called from any; results are handed out by the writer's task.
import Logging
import Postgres
import Synchronization

public final class InboxWriter: Sendable {
    public enum Failure: Error, Sendable {
        /// The queue is full.
        case busy
        /// The database could not be asked, or did not answer: the message may or may not have been appended. A retry
        /// under the same client id finds out.
        case unavailable
        /// Sender or recipient has no log.
        case noInbox
    }

    public typealias Completion = @Sendable (Result<Appended, Failure>) -> Void

    private struct Pending: Sendable {
        let message: OutgoingMessage
        let complete: Completion
    }

    private struct SendKey: Hashable {
        let device: Int64
        let clientID: String
    }

    private let store: InboxStore
    private let logger: Logger
    private let queueMax: Int
    private let batchMax: Int
    private let queue = Mutex<[Pending]>([])
    private let wake: AsyncStream<Void>.Continuation
    private let wakes: AsyncStream<Void>

    public init(postgres: PostgresClient, queueMax: Int = 20_000, batchMax: Int = 1000, logger: Logger) {
        store = InboxStore(postgres: postgres)
        self.queueMax = queueMax
        self.batchMax = batchMax
        self.logger = logger
        (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// False when the queue is full; complete is not called then, and is called exactly once otherwise.
    public func offer(_ message: OutgoingMessage, _ complete: @escaping Completion) -> Bool {
        let (accepted, first) = queue.withLock { queue in
            guard queue.count < queueMax else { return (false, false) }
            queue.append(Pending(message: message, complete: complete))
            return (true, queue.count == 1)
        }
        if first { wake.yield() }
        return accepted
    }

    public var waiting: Int { queue.withLock { $0.count } }

    /// Ends `run` when what has been offered is appended.
    public func finish() {
        wake.finish()
    }

    public func run() async {
        for await _ in wakes {
            await drain()
        }
        await drain()
    }

    private func drain() async {
        while true {
            let batch = takeBatch()
            if batch.isEmpty { return }
            await append(batch)
        }
    }

    /// The oldest messages, up to the first whose (device, client id) is in the batch already: a retry that arrived
    /// behind its original waits for the next batch and finds it there.
    private func takeBatch() -> [Pending] {
        queue.withLock { queue in
            var keys = Set<SendKey>(minimumCapacity: min(queue.count, batchMax))
            var count = 0
            while count < queue.count, count < batchMax {
                let message = queue[count].message
                guard keys.insert(SendKey(device: message.device, clientID: message.clientID)).inserted else { break }
                count += 1
            }
            let batch = Array(queue[..<count])
            queue.removeFirst(count)
            return batch
        }
    }

    private func append(_ batch: [Pending]) async {
        var conflicts = 0
        while true {
            do {
                let results = try await store.append(batch.map(\.message))
                for (pending, result) in zip(batch, results) {
                    pending.complete(result.map { .success($0) } ?? .failure(.noInbox))
                }
                return
            } catch where conflicts < 3 && (error.constraint?.hasPrefix("events_") == true || error.isConflict) {
                conflicts += 1
            } catch {
                logger.error("messages not appended", metadata: ["count": "\(batch.count)", "error": "\(error)"])
                for pending in batch { pending.complete(.failure(.unavailable)) }
                return
            }
        }
    }
}
