// The cache of one process: least recently used goes first, bounded in entries and in bytes. Any thread; one lock, which
// is never held across a wait. It never answers late, so all of it is synchronous.
import Synchronization

final class MemoryStore: CacheStore {
    /// What an entry costs beside its value: key, node, and its place in the dictionary.
    static let overheadBytes = 160

    fileprivate struct Node {
        let key: CacheKey
        var entry: CacheEntry
        var expiry: ContinuousClock.Instant
        var newer: Int
        var older: Int

        var bytes: Int { MemoryStore.overheadBytes + (entry.value?.count ?? 0) }
    }

    /// The nodes are a ring in one array; node 0 is its head: `newer` of it is the oldest, `older` the newest.
    fileprivate struct State {
        var places: [CacheKey: Int] = [:]
        var nodes: [Node]
        var free: [Int] = []
        var bytes = 0
    }

    private let entriesMax: Int
    private let bytesMax: Int
    private let lifetime: Duration
    private let state: Mutex<State>

    init(entriesMax: Int, bytesMax: Int, lifetime: Duration) {
        self.entriesMax = entriesMax
        self.bytesMax = bytesMax
        self.lifetime = lifetime
        let head = Node(
            key: CacheKey(kind: CacheKind("", topic: nil), id: 0, other: 0), entry: .absent, expiry: .now, newer: 0, older: 0)
        state = Mutex(State(nodes: [head]))
    }

    var size: (entries: Int, bytes: Int) {
        state.withLock { ($0.places.count, $0.bytes) }
    }

    func peek(_ keys: [CacheKey]) -> [CacheKey: CacheEntry] {
        let now = ContinuousClock.now
        return state.withLock { state in
            var found: [CacheKey: CacheEntry] = [:]
            found.reserveCapacity(keys.count)
            for key in keys {
                guard let place = state.places[key] else { continue }
                if state.nodes[place].expiry <= now {
                    state.remove(key)
                } else {
                    state.unlink(place)
                    state.link(place)
                    found[key] = state.nodes[place].entry
                }
            }
            return found
        }
    }

    func fill(_ entries: [CacheKey: CacheEntry]) {
        let expiry = ContinuousClock.now + lifetime
        state.withLock { state in
            for (key, entry) in entries {
                if let place = state.places[key], state.nodes[place].entry.version > entry.version { continue }
                state.remove(key)
                let node = Node(key: key, entry: entry, expiry: expiry, newer: 0, older: 0)
                // One giant must not drive out everything else.
                if node.bytes > bytesMax / 8 { continue }
                state.insert(node)
                while state.places.count > entriesMax || state.bytes > bytesMax {
                    state.remove(state.nodes[state.nodes[0].newer].key)
                }
            }
        }
    }

    func raise(_ key: CacheKey, to version: Int64?) {
        state.withLock { state in
            guard let place = state.places[key] else { return }
            if let version, state.nodes[place].entry.version >= version { return }
            state.remove(key)
        }
    }

    func distrust() {
        state.withLock { state in
            for key in Array(state.places.keys) { state.remove(key) }
        }
    }
}

fileprivate extension MemoryStore.State {
    mutating func insert(_ node: MemoryStore.Node) {
        let place: Int
        if let last = free.popLast() {
            place = last
            nodes[place] = node
        } else {
            place = nodes.count
            nodes.append(node)
        }
        places[node.key] = place
        bytes += node.bytes
        link(place)
    }

    mutating func remove(_ key: CacheKey) {
        guard let place = places.removeValue(forKey: key) else { return }
        bytes -= nodes[place].bytes
        unlink(place)
        nodes[place].entry = .absent
        free.append(place)
    }

    /// As the newest.
    mutating func link(_ place: Int) {
        let newest = nodes[0].older
        nodes[place].newer = 0
        nodes[place].older = newest
        nodes[newest].newer = place
        nodes[0].older = place
    }

    mutating func unlink(_ place: Int) {
        let (newer, older) = (nodes[place].newer, nodes[place].older)
        nodes[newer].older = older
        nodes[older].newer = newer
    }
}
