// Read-through for facts that the database holds: asked again and again, changed now and then. Whatever happens to the
// cache changes how long an answer takes, never the answer (docs/decisions/0012-cache.md).
//
// How an older fact never survives a newer one. Every commit that changes a fact notifies each node, in the order of the
// commits (deploy/migrations/0040_cache.sql), and the node that made it does not wait for that: it drops the fact before
// it answers. A load that was under way at that moment may hold either state; it is cut off: those who had joined it
// asked before the drop and may have its answer, nobody joins it any more, and it is not kept. So what is kept was either
// read after the last change that this node knows of, or will be dropped when that change is heard. A node that can't
// hear (its connection is lost) neither looks into the cache nor fills it, and begins anew when it hears again. The
// lifetime of an entry is the floor below all that.
//
// Stampedes: one load for a key at a time, in its own task, so that nobody's cancellation is everybody's.
//
// A load asks the shared store first, if there is one (SharedStore.swift): what it finds there is as new as what this node
// has heard, so for all the above it is as good as the database.
//
// Any thread. The one lock guards the table of loads and orders fills and drops; it is never held across a wait.
import Logging
import Redis
import Synchronization

/// Where facts are kept. `peek`, `fill` and `raise` don't wait; what they do takes effect in the order of the calls.
protocol CacheStore: Sendable {
    /// What is there without waiting.
    func peek(_ keys: [CacheKey]) -> [CacheKey: CacheEntry]
    func fill(_ entries: [CacheKey: CacheEntry])
    /// Drops what is older than the version; nil: whatever is there.
    func raise(_ key: CacheKey, to version: Int64?)
    /// Whatever came before this moment must not be answered any more.
    func distrust()
    /// Entries and bytes in this process.
    var size: (entries: Int, bytes: Int) { get }
}

public final class Cache: Sendable {
    typealias Load = @Sendable ([CacheKey]) async throws -> [CacheKey: CacheEntry]
    /// Whether an entry that was found will do.
    public typealias Fits = @Sendable (CacheKey, CacheEntry) -> Bool

    private final class Flight: Sendable {
        let task: Task<[CacheKey: CacheEntry], any Error>
        init(_ task: Task<[CacheKey: CacheEntry], any Error>) { self.task = task }
    }

    private struct State {
        var hears = false
        /// Which load a key waits for. A drop takes the key out: the load is cut off. Numbers are never used twice.
        var flights: [CacheKey: UInt64] = [:]
        var tasks: [UInt64: Flight] = [:]
        var lastFlight: UInt64 = 0
    }

    private let store: (any CacheStore)?
    let shared: (any SharedStore)?
    private let state = Mutex(State())
    private let counters: [CacheKind: CacheCounters]
    private let kindsOfTopic: [String: [CacheKind]]
    private let inertCounters = CacheCounters()

    /// - Parameter store: nil: everything is loaded each time.
    init(store: (any CacheStore)?, shared: (any SharedStore)? = nil, kinds: [CacheKind]) {
        self.store = store
        self.shared = shared
        counters = Dictionary(uniqueKeysWithValues: kinds.map { ($0, CacheCounters()) })
        kindsOfTopic = Dictionary(grouping: kinds.filter { $0.topic != nil }) { $0.topic ?? "" }
    }

    /// Keeps nothing.
    public static let off = Cache(store: nil, kinds: [])

    /// In this process.
    ///
    /// - Parameter lifetime: of an entry, however well everything else works.
    public static func inMemory(
        kinds: [CacheKind], entriesMax: Int = 100_000, bytesMax: Int = 64 << 20, lifetime: Duration = .seconds(60)
    ) -> Cache {
        Cache(store: MemoryStore(entriesMax: entriesMax, bytesMax: bytesMax, lifetime: lifetime), kinds: kinds)
    }

    /// In this process, and behind that in a Redis that all nodes share.
    ///
    /// - Parameters:
    ///   - bytesMax: in this process; 0: nothing is kept here.
    ///   - lifetime: of an entry here and there together.
    ///   - patience: how long an answer of Redis is waited for before the database is asked.
    public static func shared(
        in redis: RedisConfiguration, kinds: [CacheKind], entriesMax: Int = 100_000, bytesMax: Int = 64 << 20,
        lifetime: Duration = .seconds(60), patience: Duration = .milliseconds(20), logger: Logger
    ) -> Cache {
        var redis = redis
        redis.scripts = RedisStore.scripts
        let client = RedisClient(configuration: redis, logger: logger)
        return Cache(
            store: MemoryStore(entriesMax: entriesMax, bytesMax: bytesMax, lifetime: lifetime / 2),
            shared: RedisStore(client: client, lifetime: lifetime / 2, patience: patience), kinds: kinds)
    }

    public var isOn: Bool { store != nil }

    /// Why the shared store is of no use now; nil: it is, or there is none.
    public var complaint: String? { shared?.complaint }

    // MARK: Reading

    /// An entry for each of the (distinct) keys.
    ///
    /// - Parameters:
    ///   - fits: what does not is loaded. It is not asked about what this call has loaded itself.
    ///   - load: from the database; an entry for each key that it is given.
    func entries(
        for keys: [CacheKey], fits: @escaping Fits = { _, _ in true }, load: @escaping Load
    ) async throws -> [CacheKey: CacheEntry] {
        guard let store, hears else {
            count(keys, \.bypasses)
            return try await load(keys)
        }
        var found = store.peek(keys).filter { fits($0, $1) }
        count(found.keys, \.hits)
        if found.count == keys.count { return found }
        let missing = keys.filter { found[$0] == nil }
        let (own, others) = board(missing, store, fits, load)
        if let own { found.merge(try await own.value) { $1 } }
        var misfits: [CacheKey] = []
        for (flight, keys) in others {
            let loaded = try await flight.task.value
            for key in keys {
                if let entry = loaded[key], fits(key, entry) {
                    found[key] = entry
                } else {
                    misfits.append(key)
                }
            }
        }
        if !misfits.isEmpty {
            count(misfits, \.loads)
            found.merge(try await load(misfits)) { $1 }
        }
        return found
    }

    private typealias Boarded = (
        own: Task<[CacheKey: CacheEntry], any Error>?, others: [(flight: Flight, keys: [CacheKey])]
    )

    /// Joins the loads that are under way for some of the keys and starts one for the rest.
    private func board(
        _ keys: [CacheKey], _ store: any CacheStore, _ fits: @escaping Fits, _ load: @escaping Load
    ) -> Boarded {
        state.withLock { state in
            var free: [CacheKey] = []
            var joined: [UInt64: [CacheKey]] = [:]
            for key in keys {
                if let number = state.flights[key] {
                    joined[number, default: []].append(key)
                } else {
                    free.append(key)
                }
            }
            let others = joined.compactMap { number, keys in
                state.tasks[number].map { (flight: $0, keys: keys) }
            }
            for (_, keys) in others { count(keys, \.joins) }
            if free.isEmpty { return (nil, others) }
            state.lastFlight += 1
            let number = state.lastFlight
            let mine = free
            let task = Task { try await self.fly(number, mine, store, fits, load) }
            for key in mine { state.flights[key] = number }
            state.tasks[number] = Flight(task)
            return (task, others)
        }
    }

    /// A load, from the look at the stores to the fill.
    private func fly(
        _ number: UInt64, _ keys: [CacheKey], _ store: any CacheStore, _ fits: Fits, _ load: Load
    ) async throws -> [CacheKey: CacheEntry] {
        var found = store.peek(keys).filter { fits($0, $1) }
        count(found.keys, \.hits)
        var cargo = Cargo()
        var missing = keys.filter { found[$0] == nil }
        if let shared, !missing.isEmpty {
            let answer = await shared.look(for: missing)
            cargo.lease = answer.lease
            cargo.found = answer.found.filter { fits($0, $1) }
            count(cargo.found.keys, \.sharedHits)
            missing.removeAll { cargo.found[$0] != nil }
        }
        do {
            if !missing.isEmpty {
                count(missing, \.loads)
                cargo.loaded = try await load(missing)
            }
        } catch {
            land(number, keys, with: Cargo(), store)
            throw error
        }
        land(number, keys, with: cargo, store)
        found.merge(cargo.found) { $1 }
        found.merge(cargo.loaded) { $1 }
        return found
    }

    /// What a load brings.
    private struct Cargo {
        /// In the shared store.
        var found: [CacheKey: CacheEntry] = [:]
        var loaded: [CacheKey: CacheEntry] = [:]
        /// To fill what was loaded into the shared store.
        var lease: CacheLease?
    }

    /// Keeps what was not cut off meanwhile. Under the lock, so that no drop comes between the question and the fill.
    private func land(_ number: UInt64, _ keys: [CacheKey], with cargo: Cargo, _ store: any CacheStore) {
        state.withLock { state in
            state.tasks[number] = nil
            var loaded: [CacheKey: CacheEntry] = [:]
            var found: [CacheKey: CacheEntry] = [:]
            for key in keys where state.flights[key] == number {
                state.flights[key] = nil
                if let entry = cargo.loaded[key] { loaded[key] = entry }
                if let entry = cargo.found[key] { found[key] = entry }
            }
            guard state.hears else { return }
            if let shared, !cargo.loaded.isEmpty { shared.fill(cargo.loaded, under: cargo.lease) }
            loaded.merge(found) { $1 }
            if loaded.isEmpty { return }
            store.fill(loaded)
            count(loaded.keys, \.fills)
        }
    }

    // MARK: Dropping

    /// Forgets a fact, whatever its version: this node has just changed it, or has tried to. Call it after the commit and
    /// before the answer.
    public func drop(_ keys: [CacheKey]) {
        guard let store else { return }
        state.withLock { state in
            for key in keys {
                state.flights[key] = nil
                store.raise(key, to: nil)
            }
            shared?.raise(keys, to: nil)
        }
        count(keys, \.drops)
    }

    /// Somebody has committed this version of a user's facts under the topic, or told a mark.
    func changed(_ topic: String, _ id: Int64, version: Int64) {
        if let shared, shared.heard(topic, id) { return }
        guard let store, let kinds = kindsOfTopic[topic] else { return }
        let keys = kinds.map { $0.key(id) }
        state.withLock { state in
            for key in keys {
                state.flights[key] = nil
                store.raise(key, to: version)
            }
            shared?.raise(keys, to: version)
        }
        count(keys, \.drops)
    }

    /// From now on every change is heard; what came before may have been missed.
    func beginsToHear() {
        state.withLock { state in
            state.flights.removeAll()
            store?.distrust()
            shared?.hearing(true)
            state.hears = true
        }
    }

    /// Changes are no longer heard.
    func endsToHear() {
        state.withLock { state in
            state.flights.removeAll()
            store?.distrust()
            shared?.hearing(false)
            state.hears = false
        }
    }

    var hears: Bool { state.withLock { $0.hears } }

    // MARK: Counting

    private func count(_ keys: some Sequence<CacheKey>, _ counter: KeyPath<CacheCounters, Counter>) {
        for key in keys { (counters[key.kind] ?? inertCounters)[keyPath: counter].add() }
    }

    /// By the kind's name.
    public var statistics: [String: CacheStatistics] {
        Dictionary(uniqueKeysWithValues: counters.map { ($0.name, $1.statistics) })
    }

    public var size: (entries: Int, bytes: Int) { store?.size ?? (0, 0) }
}
