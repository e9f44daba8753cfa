// Bodies above the ordinary size that are in memory at a time: what bounds it, since connections are many. Any thread.
import Synchronization

final class LargeBodies: Sendable {
    /// Of all users.
    private static let placesMax = 32
    /// Of one, so that nobody's slow uploads keep everybody else's out.
    private static let shareMax = 4

    private struct State {
        var taken = 0
        var shares: [Int64: Int] = [:]
    }

    private let state = Mutex(State())

    /// False: no room. Who enters leaves.
    func enter(_ user: Int64) -> Bool {
        state.withLock { state in
            let share = state.shares[user, default: 0]
            guard state.taken < Self.placesMax, share < Self.shareMax else { return false }
            state.shares[user] = share + 1
            state.taken += 1
            return true
        }
    }

    func leave(_ user: Int64) {
        state.withLock { state in
            let share = state.shares[user, default: 0]
            state.shares[user] = share > 1 ? share - 1 : nil
            state.taken -= 1
        }
    }
}
