// A number of places for what may be there only so many times at once, and does not wait. Any thread.
import Synchronization

public final class Places: Sendable {
    private let limit: Int
    private let taken = Atomic(0)

    public init(_ limit: Int) {
        self.limit = limit
    }

    /// False: no room. Who enters leaves.
    public func enter() -> Bool {
        guard taken.add(1, ordering: .relaxed).newValue <= limit else {
            leave()
            return false
        }
        return true
    }

    public func leave() {
        taken.subtract(1, ordering: .relaxed)
    }
}
