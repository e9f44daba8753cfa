// What the cache has done since the start, by kind of fact, and in Prometheus' text format.
import Synchronization

public struct CacheStatistics: Sendable, Equatable {
    /// Answered from the cache.
    public var hits = 0
    /// Answered from what all nodes share.
    public var sharedHits = 0
    /// Asked of the database.
    public var loads = 0
    /// Answered by a load that was under way for somebody else.
    public var joins = 0
    /// Asked of the database because the cache could not be used.
    public var bypasses = 0
    public var fills = 0
    public var drops = 0
}

final class Counter: Sendable {
    private let count = Atomic(0)
    func add() { count.add(1, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}

final class CacheCounters: Sendable {
    let hits = Counter()
    let sharedHits = Counter()
    let loads = Counter()
    let joins = Counter()
    let bypasses = Counter()
    let fills = Counter()
    let drops = Counter()

    var statistics: CacheStatistics {
        CacheStatistics(
            hits: hits.value, sharedHits: sharedHits.value, loads: loads.value, joins: joins.value,
            bypasses: bypasses.value, fills: fills.value, drops: drops.value)
    }
}

extension Cache {
    public func metrics() -> String {
        guard isOn else { return "" }
        let kinds = statistics.sorted { $0.key < $1.key }
        var text = ""
        func add(_ name: String, _ help: String, _ value: KeyPath<CacheStatistics, Int>) {
            text += "# HELP ringway_cache_\(name)_total \(help)\n# TYPE ringway_cache_\(name)_total counter\n"
            for (kind, statistics) in kinds {
                text += "ringway_cache_\(name)_total{fact=\"\(kind)\"} \(statistics[keyPath: value])\n"
            }
        }
        add("hits", "Facts answered from the cache.", \.hits)
        if shared != nil { add("shared_hits", "Facts answered from the cache that nodes share.", \.sharedHits) }
        add("loads", "Facts read from the database.", \.loads)
        add("joins", "Facts answered by a load under way for someone else.", \.joins)
        add("bypasses", "Facts read from the database because the cache could not be used.", \.bypasses)
        add("fills", "Facts that were kept.", \.fills)
        add("drops", "Facts that a change has ended.", \.drops)
        let (entries, bytes) = size
        for (name, help, value) in [("entries", "Facts", entries), ("bytes", "Bytes of facts", bytes)] {
            text += "# HELP ringway_cache_\(name) \(help) in this process.\n# TYPE ringway_cache_\(name) gauge\n"
            text += "ringway_cache_\(name) \(value)\n"
        }
        return text + (shared?.metrics() ?? "")
    }
}
