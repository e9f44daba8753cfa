// An answer in time or none: work in a task of its own, raced by a timer. Work that never waits, as with an answer that is
// cached, is over before there is a timer.
import GRPCCore
import Synchronization

/// Throws DEADLINE_EXCEEDED once the time is over, whatever the work does then; it is cancelled.
/// - Parameter executor: where the work runs; it begins at once, on the thread that asks.
public func withDeadline<Answer: Sendable>(
    _ timeout: Duration, on executor: (any TaskExecutor)? = nil, timer: DeadlineTimer.Start = DeadlineTimer.sleep,
    _ work: @escaping @Sendable () async throws -> Answer
) async throws -> Answer {
    let race = Race<Answer>()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { reply in
            race.begin(reply)
            let task = Task.immediate(executorPreference: executor) {
                do {
                    race.end(.success(try await work()))
                } catch {
                    race.end(.failure(error))
                }
            }
            race.runs(task) {
                timer(timeout) {
                    race.end(.failure(RPCError(code: .deadlineExceeded, message: "not answered in time")))
                    task.cancel()
                }
            }
        }
    } onCancel: {
        race.cancel()
    }
}

/// A timer that was started, and may be stopped.
public struct DeadlineTimer: Sendable {
    /// Calls `end` in so much time.
    public typealias Start = @Sendable (Duration, _ end: @escaping @Sendable () -> Void) -> DeadlineTimer

    let stop: @Sendable () -> Void

    public init(stop: @escaping @Sendable () -> Void) {
        self.stop = stop
    }

    /// For who has no event loop.
    public static let sleep: Start = { time, end in
        let task = Task {
            if (try? await Task.sleep(for: time)) != nil { end() }
        }
        return DeadlineTimer { task.cancel() }
    }
}

private final class Race<Answer: Sendable>: Sendable {
    private struct State {
        var reply: CheckedContinuation<Answer, any Error>?
        var task: Task<Void, Never>?
        var timer: DeadlineTimer?
        var isCancelled = false
    }

    private let state = Mutex(State())

    func begin(_ reply: CheckedContinuation<Answer, any Error>) {
        state.withLock { $0.reply = reply }
    }

    /// Nothing happens when it is over already.
    func runs(_ task: Task<Void, Never>, until timer: () -> DeadlineTimer) {
        let mustCancel = state.withLock { state in
            guard state.reply != nil else { return false }
            state.task = task
            state.timer = timer()
            return state.isCancelled
        }
        if mustCancel { task.cancel() }
    }

    /// The first end counts.
    func end(_ result: Result<Answer, any Error>) {
        let (reply, timer) = state.withLock { state in
            defer { (state.reply, state.task, state.timer) = (nil, nil, nil) }
            return (state.reply, state.timer)
        }
        timer?.stop()
        reply?.resume(with: result)
    }

    func cancel() {
        let task = state.withLock { state in
            state.isCancelled = true
            return state.task
        }
        task?.cancel()
    }
}
