// The client against a real server: order, deadlines, what ends a session, and that no secret is told.
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Redis

private let patience = Duration.seconds(5)

private func makeClient(_ url: String, _ change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisClient {
    var configuration = try RedisConfiguration(url: url)
    // A busy machine must not end a session that the test does not mean to.
    configuration.silence = .seconds(60)
    change(&configuration)
    return RedisClient(configuration: configuration, logger: .quiet)
}

extension RedisClient {
    /// The next session; fails after ten seconds.
    fileprivate func nextSession() async throws -> RedisSession {
        try await withThrowingTaskGroup(of: RedisSession?.self) { group in
            group.addTask {
                for await event in self.events {
                    if case .connected(let session) = event { return session }
                }
                return nil
            }
            group.addTask {
                try await Task.sleep(for: .seconds(10))
                return nil
            }
            defer { group.cancelAll() }
            return try #require(try await group.next() ?? nil, "no session")
        }
    }
}

@Suite(.serialized) struct RedisClientTests {
    @Test func answers_come_in_order_and_every_kind_is_read() async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url)
            let session = try await client.nextSession()
            #expect(try await client.send(RedisCommand("GET", "none"), on: session, within: patience) == .null)
            #expect(try await client.send(RedisCommand("SET", "a", "é\r\n"), on: session, within: patience) == .status("OK"))
            #expect(try await client.send(RedisCommand("GET", "a"), on: session, within: patience) == .bytes("é\r\n".bytes))
            client.post(RedisCommand("DEL", "a"), on: session)
            #expect(
                try await client.send(RedisCommand("MGET", "a", "b"), on: session, within: patience) == .array([.null, .null]))
            let counts = try await withThrowingTaskGroup(of: RedisReply.self) { group in
                for _ in 0..<1000 {
                    group.addTask { try await client.send(RedisCommand("INCR", "n"), on: session, within: patience) }
                }
                return try await group.reduce(into: Set<Int64>()) { if case .integer(let n) = $1 { $0.insert(n) } }
            }
            #expect(counts == Set(1...1000))
            let large = [UInt8](repeating: 7, count: 5 << 20)
            client.post(RedisCommand(["SET".bytes, "large".bytes, large]), on: session)
            #expect(try await client.send(RedisCommand("GET", "large"), on: session, within: patience) == .bytes(large))
            await #expect(throws: RedisError(.server, kind: "WRONGTYPE")) {
                try await client.send(RedisCommand("LPUSH", "large", "x"), on: session, within: patience)
            }
            await client.shutdown()
            await #expect(throws: RedisError.sessionOver) {
                try await client.send(RedisCommand("PING"), on: session, within: patience)
            }
        }
    }

    @Test func killed_server_ends_the_session_and_the_next_one_begins_by_itself() async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url)
            let first = try await client.nextSession()
            await redis.kill()
            await #expect(throws: RedisError.self) {
                try await client.send(RedisCommand("PING"), on: first, within: patience)
            }
            try await redis.start()
            let second = try await client.nextSession()
            #expect(second != first)
            #expect(try await client.send(RedisCommand("PING"), on: second, within: patience) == .status("PONG"))
            await #expect(throws: RedisError.sessionOver) {
                try await client.send(RedisCommand("PING"), on: first, within: patience)
            }
            #expect(client.counters.sessions.value == 2)
        }
    }

    @Test func stopped_server_costs_one_deadline_then_nothing_then_the_session() async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url) { $0.silence = .seconds(3) }
            let session = try await client.nextSession()
            await redis.signal(SIGSTOP)
            let clock = ContinuousClock()
            let first = await clock.measure {
                await #expect(throws: RedisError.overdue) {
                    try await client.send(RedisCommand("PING"), on: session, within: .milliseconds(20))
                }
            }
            #expect(first >= .milliseconds(20))
            // Refused unsent: the answers to others are overdue already.
            let sent = client.counters.refused.value
            await #expect(throws: RedisError.overdue) {
                try await client.send(RedisCommand("PING"), on: session, within: .milliseconds(20))
            }
            #expect(client.counters.refused.value == sent + 1)
            try await eventually {
                do {
                    _ = try await client.send(RedisCommand("PING"), on: session, within: .milliseconds(20))
                    return false
                } catch {
                    return error as? RedisError == .sessionOver
                }
            }
            await redis.signal(SIGCONT)
            #expect(try await client.nextSession() != session)
        }
    }

    @Test func refused_vital_command_ends_the_session_and_no_later_one_succeeds() async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url)
            let session = try await client.nextSession()
            client.post(RedisCommand("NO_SUCH_COMMAND"), on: session)
            #expect(try await client.send(RedisCommand("PING"), on: session, within: patience) == .status("PONG"))
            client.post(RedisCommand("NO_SUCH_COMMAND"), on: session, isVital: true)
            await #expect(throws: RedisError.sessionOver) {
                try await client.send(RedisCommand("PING"), on: session, within: patience)
            }
        }
    }

    @Test func queue_is_bounded_and_a_vital_command_without_room_ends_the_session() async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url) {
                $0.commandsMax = 100
                $0.silence = .seconds(60)
            }
            let session = try await client.nextSession()
            await redis.signal(SIGSTOP)
            for _ in 0..<100 { client.post(RedisCommand("PING"), on: session) }
            await #expect(throws: RedisError.full) {
                try await client.send(RedisCommand("PING"), on: session, within: .seconds(60))
            }
            client.post(RedisCommand("PING"), on: session, isVital: true)
            await #expect(throws: RedisError.sessionOver) {
                try await client.send(RedisCommand("PING"), on: session, within: .seconds(60))
            }
            await redis.signal(SIGCONT)
        }
    }

    @Test func silent_death_of_an_idle_session_is_noticed() async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url) { $0.silence = .milliseconds(100) }
            _ = try await client.nextSession()
            await redis.signal(SIGSTOP)
            var events = client.events.makeAsyncIterator()
            #expect(await events.next() == .disconnected)
            await redis.signal(SIGCONT)
        }
    }

    @Test(arguments: [true, false]) func server_that_becomes_a_replica_is_left(isBusy: Bool) async throws {
        try await TestRedis.with { redis in
            let client = try makeClient(redis.url) { $0.silence = .milliseconds(100) }
            let session = try await client.nextSession()
            let reader = Task {
                while isBusy, !Task.isCancelled {
                    guard (try? await client.send(RedisCommand("GET", "a"), on: session, within: patience)) != nil else { return }
                }
            }
            try await redis.ask(["REPLICAOF", "127.0.0.1", "1"])
            var events = client.events.makeAsyncIterator()
            #expect(await events.next() == .disconnected)
            reader.cancel()
            await reader.value
            try await redis.ask(["REPLICAOF", "NO", "ONE"])
            _ = try await client.nextSession()
        }
    }

    @Test func password_and_database_are_used_and_a_wrong_one_is_told_without_it() async throws {
        try await TestRedis.with(password: "s3cret") { redis in
            let client = try makeClient(redis.url + "?db=3")
            let session = try await client.nextSession()
            client.post(RedisCommand("SET", "here", "1"), on: session)
            #expect(try await client.send(RedisCommand("DBSIZE"), on: session, within: patience) == .integer(1))
            let said = Said()
            let logger = Logger(label: "test") { _ in said }
            let wrong = try RedisConfiguration(url: redis.url.replacing("s3cret", with: "wr0ng"))
            let refused = RedisClient(configuration: wrong, logger: logger)
            while refused.counters.failedAttempts.value == 0 { try await Task.sleep(for: .milliseconds(5)) }
            await refused.shutdown()
            let lines = said.lines.withLock { $0 }
            #expect(lines.contains { $0.contains("WRONGPASS") })
            #expect(!lines.contains { $0.contains("wr0ng") || $0.contains("s3cret") })
        }
    }

    @Test(arguments: [
        ("redis://host", RedisConfiguration.Address.tcp(host: "host", port: 6379), 0),
        ("redis://:p%40ss@10.0.0.1:7000/5", .tcp(host: "10.0.0.1", port: 7000), 5),
        ("redis://user:pw@[::1]:7000", .tcp(host: "::1", port: 7000), 0),
        ("unix:///run/redis.sock", .unix(path: "/run/redis.sock"), 0),
        ("unix://:pw@/run/re%20dis.sock?db=9", .unix(path: "/run/re dis.sock"), 9),
    ])
    func good_urls(url: String, address: RedisConfiguration.Address, database: Int) throws {
        let configuration = try RedisConfiguration(url: url)
        #expect(configuration.address == address)
        #expect(configuration.database == database)
    }

    @Test(arguments: [
        "", "host", "http://host", "rediss://host", "redis://", "redis://:@host", "redis://pw@host", "redis://:hun@ter2@host",
        "redis://:hun/ter2@host", "redis://:hunter2%4@host", "redis://:hunter2%00@host", "redis://host:0", "redis://host:hunter2",
        "redis://host:99999", "redis://host/hunter2", "redis://host/-1", "redis://ho st", "unix://run/redis.sock",
        "unix:///s?hunter2=1", "unix:///" + String(repeating: "a", count: 200), "redis://\(String(repeating: "a", count: 300))",
    ])
    func bad_urls_are_refused_without_telling_what_is_in_them(url: String) {
        let error = #expect(throws: RedisError.self) { try RedisConfiguration(url: url) }
        #expect(error?.code == .configuration)
        #expect(error?.description.contains("ter2") == false)
    }
}

/// Keeps what is logged.
private struct Said: LogHandler {
    let lines = Lines()
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(
        level: Logger.Level, message: Logger.Message, metadata: Logger.Metadata?, source: String, file: String,
        function: String, line: UInt
    ) {
        lines.add("\(message) \(metadata ?? [:])")
    }
}

private final class Lines: Sendable {
    private let all = Mutex<[String]>([])
    func add(_ line: String) { all.withLock { $0.append(line) } }
    func withLock<Result>(_ body: ([String]) -> Result) -> Result { all.withLock { body($0) } }
}
