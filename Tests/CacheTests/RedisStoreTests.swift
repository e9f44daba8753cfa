// Stores of several nodes over one real Redis, with the notifications' channel in the test's hand: who may fill in what,
// what a drop takes away, and that nothing from before a gap is ever found again.
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Cache

private let kind = CacheKind("thing", topic: "things")
private let key = kind.key(7)

/// What Postgres' channel does: what is told is heard by all, in one order; here when the test says so.
private final class Channel: Sendable {
    private struct State {
        var stores: [RedisStore] = []
        var told: [(topic: String, mark: Int64)] = []
        var isHeld = false
        var fails = false
    }

    struct Refused: Error {}

    private let state = Mutex(State())

    func tell(_ topic: String, _ mark: Int64) throws {
        try state.withLock { state in
            state.told.append((topic, mark))
            if state.fails { throw Refused() }
        }
        if !state.withLock(\.isHeld) { deliver() }
    }

    /// In the order in which they were told, one at a time to all.
    func deliver(_ topic: String? = nil) {
        state.withLock { state in
            for (told, mark) in state.told where topic == nil || told == topic {
                for store in state.stores { _ = store.heard(told, mark) }
            }
            state.told.removeAll { topic == nil || $0.topic == topic }
        }
    }

    func add(_ store: RedisStore) { state.withLock { $0.stores.append(store) } }
    func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }
    func fail(_ fails: Bool) { state.withLock { $0.fails = fails } }
    var marks: [Int64] { state.withLock { $0.told.map(\.mark) } }
    var waiting: [String] { state.withLock { $0.told.map(\.topic) } }
}

private func fact(_ version: Int64) -> CacheEntry { CacheEntry(version: version, value: Array("v\(version)".utf8)) }

extension RedisStore {
    fileprivate func find() async -> CacheEntry? { await look(for: [key]).found[key] }

    /// As a node does that has loaded this.
    fileprivate func miss() async throws -> CacheLease {
        let answer = await look(for: [key])
        #expect(answer.found == [:])
        return try #require(answer.lease)
    }
}

private struct World: Sendable {
    let redis: TestRedis
    let channel: Channel
    let stores: [RedisStore]

    static func with(
        _ count: Int = 2, settings: [String] = [], patience: Duration = .seconds(5),
        _ body: @Sendable (World) async throws -> Void
    ) async throws {
        try await TestRedis.with(settings) { redis in
            let channel = Channel()
            let stores = try (0..<count).map { _ in
                var configuration = try RedisConfiguration(url: redis.url)
                configuration.scripts = RedisStore.scripts
                // A session that a busy machine ends would begin a generation that no test expects.
                configuration.silence = .seconds(60)
                let client = RedisClient(configuration: configuration, logger: .quiet)
                return RedisStore(client: client, lifetime: .seconds(60), patience: patience)
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for store in stores {
                    channel.add(store)
                    store.hearing(true)
                    group.addTask { await store.run { try channel.tell($0, $1) } }
                }
                let world = World(redis: redis, channel: channel, stores: stores)
                try await world.settle()
                try await body(world)
                group.cancelAll()
            }
        }
    }

    /// Until every store is of use and follows the same generation.
    func settle() async throws {
        try await eventually {
            guard stores.allSatisfy({ $0.complaint == nil }) else { return false }
            var leases: Set<Int64> = []
            for store in stores {
                guard let lease = await store.look(for: [kind.key(1)]).lease else { return false }
                leases.insert(lease.generation)
            }
            return leases.count == 1
        }
    }
}

@Suite(.serialized) struct RedisStoreTests {
    @Test func what_one_node_loads_the_others_find() async throws {
        try await World.with { world in
            let lease = try await world.stores[0].miss()
            world.stores[0].fill([key: fact(3)], under: lease)
            for store in world.stores { #expect(await store.find() == fact(3)) }
        }
    }

    /// As nodes of two versions do while one replaces the other.
    @Test func facts_of_another_form_are_not_read() async throws {
        try await World.with { world in
            let newer = CacheKind(kind.name, topic: kind.topic, form: 2).key(7)
            let lease = try await world.stores[0].miss()
            world.stores[0].fill([key: fact(3)], under: lease)
            for store in world.stores { #expect(await store.find() == fact(3)) }
            #expect(await world.stores[1].look(for: [newer]).found == [:])
        }
    }

    @Test func absence_is_a_fact_that_an_appearance_ends() async throws {
        try await World.with { world in
            let lease = try await world.stores[0].miss()
            world.stores[0].fill([key: .absent], under: lease)
            #expect(await world.stores[0].find() == .absent)
            world.stores[1].raise([key], to: 1)
            #expect(await world.stores[1].find() == nil)
        }
    }

    @Test(arguments: [nil, 2] as [Int64?]) func fill_that_a_drop_overtook_is_not_kept(version: Int64?) async throws {
        try await World.with { world in
            let lease = try await world.stores[0].miss()
            world.stores[1].raise([key], to: version)
            #expect(await world.stores[1].look(for: [kind.key(1)]).lease != nil)  // The drop has been run.
            world.stores[0].fill([key: fact(1)], under: lease)
            #expect(await world.stores[0].find() == nil)
        }
    }

    @Test func later_miss_takes_the_lease_over() async throws {
        try await World.with { world in
            let early = try await world.stores[0].miss()
            let late = try await world.stores[1].miss()
            world.stores[0].fill([key: fact(1)], under: early)
            #expect(await world.stores[0].look(for: [kind.key(1)]).lease != nil)
            world.stores[1].fill([key: fact(2)], under: late)
            #expect(await world.stores[1].find() == fact(2))
        }
    }

    /// The first node's load was late and has seen what the second's, which has the lease, was too early for.
    @Test func nothing_older_is_filled_in_than_what_was_seen() async throws {
        try await World.with { world in
            let lost = try await world.stores[0].miss()
            let held = try await world.stores[1].miss()
            world.stores[0].fill([key: fact(2)], under: lost)
            #expect(await world.stores[0].look(for: [kind.key(1)]).lease != nil)
            world.stores[1].fill([key: fact(1)], under: held)
            #expect(await world.stores[1].find() == nil)
            let again = try await world.stores[0].miss()
            world.stores[1].fill([key: fact(2)], under: nil)
            world.stores[0].fill([key: fact(2)], under: again)
            try await eventually { await world.stores[0].find() == fact(2) }
            world.stores[0].fill([key: fact(3)], under: nil)
            #expect(await world.stores[0].find() == nil)
        }
    }

    @Test func old_news_does_not_drop_what_is_newer() async throws {
        try await World.with(1) { world in
            let store = world.stores[0]
            store.fill([key: fact(5)], under: try await store.miss())
            store.raise([key], to: 5)
            #expect(await store.find() == fact(5))
            store.raise([key], to: 6)
            #expect(await store.find() == nil)
            store.fill([key: fact(6)], under: try await store.miss())
            store.raise([key], to: CacheEntry.gone)
            #expect(await store.find() == nil)
            store.fill([key: fact(6)], under: try await store.miss())
            store.raise([key], to: nil)
            #expect(await store.find() == nil)
        }
    }

    @Test func flushed_redis_has_no_fact_and_no_lease() async throws {
        try await World.with { world in
            let store = world.stores[0]
            store.fill([key: fact(1)], under: try await store.miss())
            #expect(await store.find() == fact(1))
            let lease = try #require(await store.look(for: [kind.key(8)]).lease)
            try await world.redis.ask(["FLUSHALL"])
            store.fill([kind.key(8): fact(1)], under: lease)
            #expect(await store.look(for: [key, kind.key(8)]).found == [:])
        }
    }

    /// The snapshot holds what was dropped since; only a generation that nobody knew before is asked.
    @Test func old_snapshot_is_never_believed() async throws {
        try await World.with { world in
            let store = world.stores[0]
            store.fill([key: fact(1)], under: try await store.miss())
            #expect(await store.find() == fact(1))
            try await world.redis.ask(["SAVE"])
            store.raise([key], to: 2)
            #expect(await store.find() == nil)
            let before = world.stores.map { $0.client.counters.sessions.value }
            await world.redis.kill()
            try await world.redis.start()
            #expect(try await world.redis.ask(["KEYS", "*:thing:7"]).contains("thing:7"))
            try await eventually { zip(world.stores, before).allSatisfy { $0.client.counters.sessions.value > $1 } }
            try await world.settle()
            for store in world.stores { #expect(await store.find() == nil) }
        }
    }

    @Test(arguments: [true, false]) func node_that_may_have_missed_something_begins_anew_for_all(isSession: Bool) async throws {
        try await World.with { world in
            let (one, other) = (world.stores[0], world.stores[1])
            one.fill([key: fact(1)], under: try await one.miss())
            // In this order: a look of the other's that comes first takes the lease over.
            for store in world.stores { #expect(await store.find() == fact(1)) }
            if isSession {
                let before = other.client.counters.sessions.value
                let identity = try await world.redis.ask(["CLIENT", "LIST"]).split(separator: "\n")
                    .filter { $0.contains("name=ringway") }.compactMap { $0.firstMatch(of: /id=(\d+)/)?.1 }
                // Both sessions end, one after the other.
                for id in identity { try await world.redis.ask(["CLIENT", "KILL", "ID", String(id)]) }
                try await eventually { other.client.counters.sessions.value > before }
            } else {
                other.hearing(false)
                #expect(await other.look(for: [key]).lease == nil)
                other.hearing(true)
            }
            try await eventually { await one.look(for: [kind.key(1)]).lease != nil }
            try await world.settle()
            #expect(await one.find() == nil)
            #expect(await other.find() == nil)
        }
    }

    /// One follows the generation that the other has begun. What it has changed itself before it heard of that is dropped
    /// there only when it is heard, so until then it must not ask.
    @Test func node_asks_in_a_new_generation_only_after_its_own_mark_has_come_back() async throws {
        try await World.with { world in
            let (one, other) = (world.stores[0], world.stores[1])
            world.channel.hold(true)
            other.hearing(true)
            try await eventually { world.channel.waiting == ["generation"] }
            world.channel.deliver("generation")
            try await eventually { world.channel.waiting == ["fence"] }
            #expect(await one.look(for: [key]).lease == nil)
            let lease = try await other.miss()
            // It drops there already, though.
            one.raise([key], to: nil)
            try await eventually { try await !world.redis.ask(["KEYS", "*:thing:7"]).contains("thing:7") }
            other.fill([key: fact(1)], under: lease)
            #expect(await other.find() == nil)
            world.channel.deliver()
            #expect(await one.look(for: [key]).lease != nil)
        }
    }

    /// A mark that may have been told must not be told again: it would bring an abandoned generation back.
    @Test func generation_that_could_not_be_told_is_never_used() async throws {
        try await World.with(1) { world in
            world.channel.hold(true)
            world.channel.fail(true)
            world.stores[0].hearing(true)
            try await eventually { world.channel.waiting.count >= 3 }
            world.channel.fail(false)
            #expect(world.channel.marks.count == Set(world.channel.marks).count)
            world.channel.hold(false)
            world.channel.deliver()
            try await world.settle()
        }
    }

    @Test func full_redis_is_asked_and_dropped_from_and_filled_no_more() async throws {
        try await World.with(settings: ["--maxmemory-policy", "noeviction"]) { world in
            let store = world.stores[0]
            store.fill([key: fact(1)], under: try await store.miss())
            #expect(await store.find() == fact(1))
            try await world.redis.ask(["CONFIG", "SET", "maxmemory", "1"])
            #expect(await store.find() == fact(1))
            let lease = try #require(await store.look(for: [kind.key(8)]).lease)
            store.fill([kind.key(8): fact(1)], under: lease)
            #expect(await store.look(for: [kind.key(8)]).found == [:])
            store.raise([key], to: 2)
            #expect(await store.find() == nil)
            #expect(store.complaint == nil)
            try await world.redis.ask(["CONFIG", "SET", "maxmemory", "0"])
            store.fill([key: fact(2)], under: try await store.miss())
            #expect(await store.find() == fact(2))
        }
    }

    @Test func lost_scripts_are_loaded_again() async throws {
        try await World.with(1) { world in
            try await world.redis.ask(["SCRIPT", "FLUSH"])
            #expect(await world.stores[0].look(for: [key]).lease == nil)
            try await world.settle()
        }
    }

    @Test func strange_bytes_are_no_fact() {
        #expect(StoredFact.entry(StoredFact.bytes(fact(CacheEntry.gone))) == fact(CacheEntry.gone))
        #expect(StoredFact.entry(StoredFact.bytes(.absent)) == .absent)
        for text in ["", "V", "L0000000000000000abc", "V00000000000000x11abc", "V-0000000000000011", "V00000000000000012abc"] {
            #expect(StoredFact.entry(Array(text.utf8)) == nil)
        }
    }
}
