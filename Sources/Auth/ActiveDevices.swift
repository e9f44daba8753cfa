// Which devices were found active a moment ago, so that a busy one does not ask the database for each request. What
// ends on this node is forgotten at once, what ends on another as soon as word of it comes, and in any case within `memory`.
//
// A mutex holds it; any thread may ask.
import Synchronization

final class ActiveDevices: Sendable {
    private static let devicesMax = 65_536

    private struct State {
        var seen: [Session: ContinuousClock.Instant] = [:]
        /// Grows with each thing forgotten: an answer that was asked for before that is not remembered.
        var generation = 0
    }

    private let state = Mutex(State())
    private let memory: Duration

    init(memory: Duration) {
        self.memory = memory
    }

    func isActive(_ session: Session, asking store: (Session) async throws -> Bool) async throws -> Bool {
        let now = ContinuousClock.now
        let (isKnown, generation) = state.withLock { state in
            (state.seen[session].map { now - $0 < memory } ?? false, state.generation)
        }
        if isKnown { return true }
        guard try await store(session) else { return false }
        state.withLock { state in
            guard state.generation == generation else { return }
            // Their time is so short that the whole map is as good as over when it is full.
            if state.seen.count >= Self.devicesMax { state.seen.removeAll(keepingCapacity: true) }
            state.seen[session] = now
        }
        return true
    }

    func forget(_ session: Session) {
        state.withLock { state in
            state.generation += 1
            state.seen[session] = nil
        }
    }

    func forgetAll() {
        state.withLock { state in
            state.generation += 1
            state.seen.removeAll(keepingCapacity: true)
        }
    }

    func forget(user: Int64) {
        state.withLock { state in
            state.generation += 1
            state.seen = state.seen.filter { $0.key.userID != user }
        }
    }
}
