// Threads of our own for work that takes a core for long (a password's hash, a picture): on Swift's pool, which has a
// thread a core, it would starve everything else. The queue before the threads is bounded; who finds it full is told
// when to come back.
//
// The queue belongs to a mutex. A thread sleeps on the semaphore, which counts the jobs, and ends when the pool does.
import Dispatch
import Foundation
import Synchronization

public final class WorkerPool: Sendable {
    /// Nobody waits for what the pool does as others wait for the rest: the threads take what that leaves of the cores.
    /// Not the lowest there is, so that a busy machine slows the pool down and doesn't stop it.
    private static let niceness: Int32 = 10

    /// Too many jobs wait already.
    public struct Full: Error {
        public let retryAfter: Duration
    }

    private let queue: WorkQueue

    /// - Parameters:
    ///   - threads: jobs done at a time.
    ///   - queueLimit: jobs that may wait for a thread.
    ///   - duration: what a job takes, as long as none has been measured.
    public init(threads: Int, queueLimit: Int, duration: Duration) {
        precondition(threads > 0 && queueLimit > 0, "a pool needs a thread and room for a job")
        queue = WorkQueue(threads: threads, limit: queueLimit, duration: duration)
        for _ in 0..<threads {
            Thread.detachNewThread { [queue] in
                // On Linux this is the thread's alone.
                setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
                while let job = queue.next() { queue.finish(job) }
            }
        }
    }

    deinit {
        queue.close()
    }

    /// Throws `Full` at once when the queue is full. A job whose task is cancelled while it waits is never begun.
    public func run<Output: Sendable>(_ work: @escaping @Sendable () throws -> Output) async throws -> Output {
        let cancellation = Flag()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { reply in
                let refusal = queue.add {
                    reply.resume(
                        with: cancellation.isSet ? .failure(CancellationError()) : Result(catching: work))
                }
                if let refusal { reply.resume(throwing: refusal) }
            }
        } onCancel: {
            cancellation.set()
        }
    }
}

private final class Flag: Sendable {
    private let value = Atomic(false)

    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

private final class WorkQueue: Sendable {
    typealias Job = @Sendable () -> Void

    private struct State {
        var waiting: [Job] = []
        var running = 0
        /// What a job takes, averaged over the last few.
        var duration: Duration
    }

    private let threads: Int
    private let limit: Int
    private let state: Mutex<State>
    private let available = DispatchSemaphore(value: 0)

    init(threads: Int, limit: Int, duration: Duration) {
        self.threads = threads
        self.limit = limit
        state = Mutex(State(duration: duration))
    }

    /// Queues a job, or says why not.
    func add(_ job: @escaping Job) -> WorkerPool.Full? {
        let refusal: WorkerPool.Full? = state.withLock { state in
            guard state.waiting.count < limit else {
                return .init(retryAfter: state.duration * (state.waiting.count + state.running) / threads)
            }
            state.waiting.append(job)
            return nil
        }
        if refusal == nil { available.signal() }
        return refusal
    }

    /// The next job, waiting for one; nil when there will be none.
    func next() -> Job? {
        available.wait()
        return state.withLock { state in
            if state.waiting.isEmpty { return nil }
            state.running += 1
            return state.waiting.removeFirst()
        }
    }

    func finish(_ job: Job) {
        let start = ContinuousClock.now
        job()
        let elapsed = ContinuousClock.now - start
        state.withLock { state in
            state.running -= 1
            state.duration = (state.duration * 7 + elapsed) / 8
        }
    }

    /// One signal for each thread beyond those for the jobs: it finds the queue empty and ends.
    func close() {
        for _ in 0..<threads { available.signal() }
    }
}
