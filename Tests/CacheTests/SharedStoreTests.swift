// The cache with a shared store behind its memory: what is asked, kept and filled in when, and what a change takes away.
// The store here is a table that a test can hold up; the real one is held to the same in RedisStoreTests.
import Synchronization
import Testing

@testable import Cache

private let kind = CacheKind("thing", topic: "things")
private let key = kind.key(7)

private final class Table: SharedStore {
    struct State {
        var entries: [CacheKey: CacheEntry] = [:]
        var looks = 0
        var leases: UInt64 = 0
        var holders: [CacheKey: String] = [:]
        var raised: [Int64?] = []
        var seen: [CacheKey: Int64] = [:]
        var isAway = false
        var duringLook: (@Sendable () -> Void)?
    }
    let state = Mutex(State())

    func look(for keys: [CacheKey]) async -> SharedAnswer {
        let (answer, then) = state.withLock { state in
            state.looks += 1
            if state.isAway { return (SharedAnswer(), state.duringLook) }
            state.leases += 1
            let found = state.entries.filter { keys.contains($0.key) }
            let lease = CacheLease(generation: 1, token: "\(state.leases)")
            for key in keys where found[key] == nil { state.holders[key] = lease.token }
            return (SharedAnswer(found: found, lease: lease), state.duringLook)
        }
        then?()
        return answer
    }

    func fill(_ entries: [CacheKey: CacheEntry], under lease: CacheLease?) {
        state.withLock { state in
            for (key, entry) in entries {
                state.seen[key] = max(entry.version, state.seen[key, default: 0])
                if let lease, state.holders[key] == lease.token { state.entries[key] = entry }
            }
        }
    }

    func raise(_ keys: [CacheKey], to version: Int64?) {
        state.withLock { state in
            state.raised.append(version)
            for key in keys {
                state.entries[key] = nil
                state.holders[key] = nil
            }
        }
    }

    func hearing(_ hears: Bool) {}
    func heard(_ topic: String, _ mark: Int64) -> Bool { topic == "mark" }
    func run(telling tell: @escaping @Sendable (String, Int64) async throws -> Void) async {}
    func metrics() -> String { "" }
    var complaint: String? { nil }
}

private func makeCache(over table: Table) -> Cache {
    let store = MemoryStore(entriesMax: 100, bytesMax: 1 << 20, lifetime: .seconds(60))
    let cache = Cache(store: store, shared: table, kinds: [kind])
    cache.beginsToHear()
    return cache
}

@Suite struct SharedStoreTests {
    private func load(_ version: Int64, _ loads: borrowing Atomic<Int>) -> CacheEntry {
        loads.add(1, ordering: .relaxed)
        return CacheEntry(version: version, value: [UInt8(version)])
    }

    @Test func memory_asks_the_shared_store_once_and_the_database_for_the_rest() async throws {
        let table = Table()
        let (one, other) = (makeCache(over: table), makeCache(over: table))
        let loads = Atomic(0)
        for cache in [one, other] {
            for _ in 0..<3 {
                let found = try await cache.entries(for: [key]) { _ in [key: load(1, loads)] }
                #expect(found[key]?.version == 1)
            }
        }
        #expect(loads.load(ordering: .relaxed) == 1)
        #expect(table.state.withLock(\.looks) == 2)
        #expect(one.statistics["thing"]?.loads == 1)
        #expect(other.statistics["thing"]?.sharedHits == 1)
    }

    @Test(arguments: [true, false]) func what_a_change_overtook_is_kept_nowhere(isOwnWrite: Bool) async throws {
        let table = Table()
        let cache = makeCache(over: table)
        let loads = Atomic(0)
        table.state.withLock { state in
            state.entries[key] = CacheEntry(version: 1, value: [1])
            state.duringLook = { isOwnWrite ? cache.drop([key]) : cache.changed("things", 7, version: 2) }
        }
        let early = try await cache.entries(for: [key]) { _ in [key: load(2, loads)] }
        #expect(early[key]?.version == 1)
        table.state.withLock { $0.duringLook = nil }
        #expect(table.state.withLock(\.raised) == [isOwnWrite ? nil : 2])
        let late = try await cache.entries(for: [key]) { _ in [key: load(2, loads)] }
        #expect(late[key]?.version == 2)
        #expect(loads.load(ordering: .relaxed) == 1)
    }

    @Test func loaded_without_a_lease_is_kept_in_memory_alone() async throws {
        let table = Table()
        let cache = makeCache(over: table)
        let loads = Atomic(0)
        table.state.withLock { $0.isAway = true }
        for _ in 0..<3 { _ = try await cache.entries(for: [key]) { _ in [key: load(1, loads)] } }
        #expect(loads.load(ordering: .relaxed) == 1)
        #expect(table.state.withLock(\.entries) == [:])
        #expect(table.state.withLock(\.seen) == [key: 1])
    }

    @Test func marks_are_no_changes() {
        let table = Table()
        let cache = makeCache(over: table)
        cache.changed("mark", 7, version: 0)
        #expect(table.state.withLock(\.raised) == [])
    }
}
