// Two nodes that share one Redis and keep nothing else, writing and reading without a pause, while everything happens to
// that Redis that can: whatever it is, no reader ever sees less than it has seen or written, and in the end all agree.
import Foundation
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Cache
@testable import Profile

/// What befalls Redis, and how it ends.
private enum Fault: CaseIterable {
    case killed, stopped, flushed, oldSnapshot, wrongPassword, full, evicting, replica, scriptsLost, clientsKilled
    /// Not Redis but the connections on which changes are heard.
    case deaf

    func happen(to redis: TestRedis, _ database: TestDatabase) async throws {
        switch self {
        case .killed:
            await redis.kill()
            try await Task.sleep(for: .milliseconds(100))
            try await redis.start()
        case .stopped:
            await redis.signal(SIGSTOP)
            try await Task.sleep(for: .milliseconds(1500))
            await redis.signal(SIGCONT)
        case .flushed:
            for _ in 0..<20 { try await redis.ask(["FLUSHALL"]) }
        case .oldSnapshot:
            try await redis.ask(["SAVE"])
            try await Task.sleep(for: .milliseconds(100))
            await redis.kill()
            try await redis.start()
        case .wrongPassword:
            try await redis.ask(["CONFIG", "SET", "requirepass", "another"])
            try await redis.ask(["-a", "another", "CLIENT", "KILL", "TYPE", "normal"])
            try await Task.sleep(for: .milliseconds(300))
            try await redis.ask(["-a", "another", "CONFIG", "SET", "requirepass", ""])
        case .full:
            try await redis.ask(["CONFIG", "SET", "maxmemory", "1"])
            try await Task.sleep(for: .milliseconds(300))
            try await redis.ask(["CONFIG", "SET", "maxmemory", "0"])
        case .evicting:
            try await redis.ask(["CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", "1"])
            try await Task.sleep(for: .milliseconds(300))
            try await redis.ask(["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "0"])
        case .replica:
            try await redis.ask(["REPLICAOF", "127.0.0.1", "1"])
            try await Task.sleep(for: .milliseconds(300))
            try await redis.ask(["REPLICAOF", "NO", "ONE"])
        case .scriptsLost:
            for _ in 0..<3 { try await redis.ask(["SCRIPT", "FLUSH"]) }
        case .clientsKilled:
            for _ in 0..<5 {
                try await redis.ask(["CLIENT", "KILL", "TYPE", "normal"])
                try await Task.sleep(for: .milliseconds(50))
            }
        case .deaf:
            for _ in 0..<3 {
                try await database.client.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'
                    """)
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}

@Suite(.serialized) struct RedisFaultTests {
    @Test(arguments: Fault.allCases) fileprivate func answers_stay_right(fault: Fault) async throws {
        try await withNodes(.redis) { one, other, database, redis in
            let redis = try #require(redis)
            let users = try await database.makeUsers(3)
            let lanes = [one, other, one, other].map { Worker(node: $0, users: users) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in lanes { group.addTask { try await lane.work() } }
                defer { for lane in lanes { lane.stop() } }
                for _ in 0..<2 {
                    try await untilShared(one, other)
                    try await fault.happen(to: redis, database)
                    // Nobody waits for Redis to come back.
                    let before = lanes.map(\.done)
                    try await eventually { zip(lanes, before).allSatisfy { $0.done > $1 + 20 } }
                }
                try await untilShared(one, other)
                for lane in lanes { lane.stop() }
                try await group.waitForAll()
            }
            for node in [one, other] { try await node.becomesCurrent(with: database, about: users) }
        }
    }

    /// Until both nodes find in Redis again what they look for.
    private func untilShared(_ nodes: Node...) async throws {
        for node in nodes {
            let before = node.cache.statistics["profile", default: .init()].sharedHits
            try await eventually { node.cache.statistics["profile", default: .init()].sharedHits > before + 10 }
        }
    }

    /// The nodes' readers all miss at once.
    @Test func thousand_misses_at_once_are_one_load_a_node() async throws {
        try await withNodes(.both) { one, other, database, _ in
            let ada = try await database.makeUser("ada")
            // What the user's making has told must not come in between.
            try await eventually {
                [one, other].allSatisfy { $0.cache.statistics["profile", default: .init()].drops > 0 }
            }
            let names = try await withThrowingTaskGroup(of: String.self) { group in
                for number in 0..<2000 {
                    group.addTask { try await (number % 2 == 0 ? one : other).nickname(of: ada) }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(names == ["ada"])
            for node in [one, other] { #expect(node.cache.statistics["profile", default: .init()].loads <= 1) }
        }
    }
}

/// Writes and reads until it is stopped, and checks each answer against what it has written or seen before.
private final class Worker: Sendable {
    private let node: Node
    private let users: [Int64]
    private let steps = Atomic(0)
    private let isOver = Atomic(false)

    init(node: Node, users: [Int64]) {
        self.node = node
        self.users = users
    }

    var done: Int { steps.load(ordering: .relaxed) }
    func stop() { isOver.store(true, ordering: .relaxed) }

    func work() async throws {
        var floor: [Int64: Int64] = [:]
        while !isOver.load(ordering: .relaxed) {
            let step = steps.add(1, ordering: .relaxed).newValue
            let user = users[step % users.count]
            if Int.random(in: 0..<10) == 0 {
                floor[user] = try await node.rename(user, "step \(step)")
            } else {
                let seen = try await node.profiles.profile(of: user).version
                #expect(seen >= floor[user, default: 0], "step \(step), user \(user)")
                floor[user] = max(seen, floor[user, default: 0])
            }
        }
    }
}
