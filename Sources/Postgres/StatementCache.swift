// The prepared statements of one connection, by SQL text and parameter types. Bounded: the least recently used one
// makes room. Loop only.

struct StatementCache {
    struct Key: Hashable {
        let sql: String
        let types: [UInt32]
    }

    private struct Entry {
        let name: String
        /// The server has confirmed it. Until then nobody else may use the name: an error earlier in the same segment
        /// makes the server skip the preparation.
        var isReady = false
        /// It was done within `Link.quickness` the last time.
        var isQuick = false
        var lastUse: UInt64
    }

    /// What to send for a statement.
    enum Use {
        case prepared(name: String, isQuick: Bool)
        case prepareAs(name: String)
        case unnamed
    }

    private var entries: [Key: Entry] = [:]
    private var clock: UInt64 = 0
    private let capacity: Int
    /// Names to DEALLOCATE when the connection is between transactions.
    private var dropped: [String] = []

    init(capacity: Int) {
        self.capacity = capacity
    }

    mutating func use(_ key: Key) -> Use {
        clock += 1
        if let index = entries.index(forKey: key) {
            entries.values[index].lastUse = clock
            let entry = entries.values[index]
            return entry.isReady ? .prepared(name: entry.name, isQuick: entry.isQuick) : .unnamed
        }
        if entries.count >= capacity {
            guard let victim = entries.filter({ $0.value.isReady }).min(by: { $0.value.lastUse < $1.value.lastUse })
            else { return .unnamed }
            drop(victim.key)
        }
        // The clock makes a name unique in the connection's life: one that is still to be deallocated is never reused.
        let name = "s\(clock)"
        entries[key] = Entry(name: name, lastUse: clock)
        return .prepareAs(name: name)
    }

    mutating func confirm(_ key: Key) {
        entries[key]?.isReady = true
    }

    mutating func record(_ key: Key, isQuick: Bool) {
        if let index = entries.index(forKey: key) { entries.values[index].isQuick = isQuick }
    }

    /// The server never got it, or has lost it.
    mutating func forget(_ key: Key) {
        entries[key] = nil
    }

    /// The server has it, but its plan is of no more use, or there is no more room.
    mutating func drop(_ key: Key) {
        if let entry = entries.removeValue(forKey: key) { dropped.append(entry.name) }
    }

    mutating func takeDropped() -> [String] {
        defer { dropped = [] }
        return dropped
    }
}
