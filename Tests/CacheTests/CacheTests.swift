// The cache alone: its bounds, one load for many who ask, and a fill that a change overtakes.
import Synchronization
import Testing

@testable import Cache

private let kind = CacheKind("thing", topic: "things")

private func makeCache() -> Cache {
    let cache = Cache.inMemory(kinds: [kind])
    cache.beginsToHear()
    return cache
}

/// A database of one row, whose reads a test can hold up after they have read.
private actor Source {
    var version: Int64 = 1
    private(set) var reads = 0
    private var gate: CheckedContinuation<Void, Never>?
    private var holds = false

    func hold() { holds = true }
    func write() { version += 1 }

    func release() {
        holds = false
        gate?.resume()
        gate = nil
    }

    var isHeld: Bool { gate != nil }

    func read() async -> CacheEntry {
        reads += 1
        let entry = CacheEntry(version: version, value: [UInt8(version)])
        if holds { await withCheckedContinuation { gate = $0 } }
        return entry
    }

    nonisolated var load: Cache.Load {
        { keys in
            let entry = await self.read()
            return Dictionary(uniqueKeysWithValues: keys.map { ($0, entry) })
        }
    }
}

@Suite struct CacheTests {
    private let key = kind.key(7)

    /// A load that has read what a write then changed, and is held until the source releases it.
    private func loadBeforeAWrite(_ cache: Cache, _ source: Source) async -> Task<Int64?, any Error> {
        let key = key
        await source.hold()
        let early = Task { try await cache.entries(for: [key], load: source.load)[key]?.version }
        while await !source.isHeld { await Task.yield() }
        await source.write()
        return early
    }

    @Test func thousand_misses_at_once_are_one_load() async throws {
        let cache = makeCache()
        let source = Source()
        let key = key
        let versions = try await withThrowingTaskGroup(of: Int64?.self) { group in
            for _ in 0..<1000 {
                group.addTask { try await cache.entries(for: [key], load: source.load)[key]?.version }
            }
            return try await group.reduce(into: [Int64?]()) { $0.append($1) }
        }
        #expect(versions == Array(repeating: 1, count: 1000))
        #expect(await source.reads == 1)
        #expect(cache.statistics["thing"]?.loads == 1)
    }

    @Test func absence_is_kept_too() async throws {
        let cache = makeCache()
        let loads = Atomic(0)
        for _ in 0..<3 {
            let found = try await cache.entries(for: [key]) { keys in
                loads.add(1, ordering: .relaxed)
                return [keys[0]: .absent]
            }
            #expect(found == [key: .absent])
        }
        #expect(loads.load(ordering: .relaxed) == 1)
    }

    /// The load has read version 1, then version 2 is committed and told; only then does the load come back.
    @Test(arguments: [true, false]) func fill_that_a_change_overtook_is_not_kept(isOwnWrite: Bool) async throws {
        let cache = makeCache()
        let source = Source()
        let early = await loadBeforeAWrite(cache, source)
        if isOwnWrite { cache.drop([key]) } else { cache.changed("things", 7, version: 2) }
        await source.release()
        #expect(try await early.value == 1)
        #expect(try await cache.entries(for: [key], load: source.load)[key]?.version == 2)
        #expect(await source.reads == 2)
    }

    @Test func reader_after_a_write_does_not_join_a_load_from_before_it() async throws {
        let cache = makeCache()
        let source = Source()
        let key = key
        let early = await loadBeforeAWrite(cache, source)
        cache.drop([key])
        let late = Task { try await cache.entries(for: [key], load: { [key: await source.readNow($0)] })[key]?.version }
        #expect(try await late.value == 2)
        await source.release()
        #expect(try await early.value == 1)
        #expect(try await cache.entries(for: [key], load: source.load)[key]?.version == 2)
    }

    @Test func old_news_does_not_drop_what_is_newer() async throws {
        let cache = makeCache()
        let source = Source()
        await source.write()
        _ = try await cache.entries(for: [key], load: source.load)
        cache.changed("things", 7, version: 2)
        _ = try await cache.entries(for: [key], load: source.load)
        #expect(await source.reads == 1)
        cache.changed("things", 7, version: 3)
        _ = try await cache.entries(for: [key], load: source.load)
        #expect(await source.reads == 2)
    }

    @Test func deaf_cache_is_neither_asked_nor_filled() async throws {
        let cache = makeCache()
        let source = Source()
        _ = try await cache.entries(for: [key], load: source.load)
        cache.endsToHear()
        for _ in 0..<2 { _ = try await cache.entries(for: [key], load: source.load) }
        #expect(await source.reads == 3)
        cache.beginsToHear()
        for _ in 0..<2 { _ = try await cache.entries(for: [key], load: source.load) }
        #expect(await source.reads == 4)
    }

    @Test func failed_load_is_told_to_all_and_not_kept() async throws {
        struct Failure: Error {}
        let cache = makeCache()
        await #expect(throws: Failure.self) { try await cache.entries(for: [key]) { _ in throw Failure() } }
        #expect(try await cache.entries(for: [key], load: Source().load)[key]?.version == 1)
    }

    @Test func memory_is_bounded_in_entries_and_bytes_and_keeps_what_was_used() {
        let few = MemoryStore(entriesMax: 10, bytesMax: 1 << 20, lifetime: .seconds(60))
        for id in 1...100 {
            few.fill([kind.key(Int64(id)): CacheEntry(version: 1, value: [1])])
            _ = few.peek([kind.key(1)])
            #expect(few.size.entries <= 10)
        }
        #expect(few.peek([kind.key(1)]).count == 1)
        #expect(few.peek([kind.key(50)]).isEmpty)
        let bytes = 100_000
        let small = MemoryStore(entriesMax: 1_000_000, bytesMax: bytes, lifetime: .seconds(60))
        for id in 1...1000 {
            let value = [UInt8](repeating: 0, count: id * 37 % 20_000)
            small.fill([kind.key(Int64(id)): CacheEntry(version: 1, value: value)])
            #expect(small.size.bytes <= bytes)
        }
        for id in 1...1000 { small.raise(kind.key(Int64(id)), to: nil) }
        #expect(small.size == (0, 0))
    }

    @Test func lifetime_is_the_floor() {
        let store = MemoryStore(entriesMax: 10, bytesMax: 1 << 20, lifetime: .zero)
        store.fill([key: CacheEntry(version: 1, value: [])])
        #expect(store.peek([key]).isEmpty)
    }
}

extension Source {
    fileprivate func readNow(_ keys: [CacheKey]) -> CacheEntry {
        CacheEntry(version: version, value: [UInt8(version)])
    }
}
