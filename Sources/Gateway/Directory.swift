// Which reactors of this node hold sessions of a user. Counted, because a user may have several devices on one.
import Synchronization

final class Directory: Sendable {
    private struct Entry {
        /// Sessions on each reactor.
        var counts: [Int: Int] = [:]
    }

    private let entries = Mutex<[Int64: Entry]>([:])

    func enter(_ user: Int64, reactor: Int) {
        entries.withLock { $0[user, default: Entry()].counts[reactor, default: 0] += 1 }
    }

    /// Whether that was the user's last session on this node.
    @discardableResult
    func leave(_ user: Int64, reactor: Int) -> Bool {
        entries.withLock { entries in
            guard var entry = entries[user], let count = entry.counts[reactor] else { return false }
            entry.counts[reactor] = count > 1 ? count - 1 : nil
            entries[user] = entry.counts.isEmpty ? nil : entry
            return entry.counts.isEmpty
        }
    }

    func reactors(of user: Int64) -> [Int] {
        entries.withLock { $0[user].map { Array($0.counts.keys) } ?? [] }
    }
}
