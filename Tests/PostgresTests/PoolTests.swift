// The pool when things go wrong: no connection left, no server, a server that comes back. Restarts happen on a cluster
// of the test's own.
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct PoolTests {
    @Test func exhaustion_timesOutAndEnds() async throws {
        try await withDatabase(configure: {
            $0.poolSize = 2
            $0.acquireTimeout = .seconds(1)
        }) { client, _ in
            try await client.withConnection { _ in
                try await client.withConnection { _ in
                    let start = ContinuousClock.now
                    #expect(await postgresError { try await client.query("SELECT 1") }?.code == .poolExhausted)
                    #expect(await postgresError { try await client.withConnection { _ in } }?.code == .poolExhausted)
                    #expect(ContinuousClock.now - start > .milliseconds(1900))
                }
            }
            #expect(try await client.query("SELECT 1").count == 1)
        }
    }

    @Test func waitingLine_hasALimit() async throws {
        try await withDatabase(configure: {
            $0.poolSize = 1
            $0.waitingLimit = 3
            $0.acquireTimeout = .seconds(60)
        }) { client, _ in
            let (refusals, refused) = AsyncStream.makeStream(of: PostgresError.Code?.self)
            let callers = try await client.withConnection { _ in
                let callers = (0..<10).map { _ in
                    Task {
                        do {
                            try await client.query("SELECT 1")
                        } catch {
                            refused.yield((error as? PostgresError)?.code)
                            return false
                        }
                        return true
                    }
                }
                // Only once seven are turned away do the three who wait get their connection.
                for await code in refusals.prefix(7) { #expect(code == .poolExhausted) }
                return callers
            }
            var served = 0
            for caller in callers where await caller.value { served += 1 }
            #expect(served == 3)
        }
    }

    @Test func waiters_areServedInTheirOrder() async throws {
        try await withDatabase(configure: { $0.poolSize = 1 }) { client, _ in
            let (order, arrivals) = AsyncStream.makeStream(of: Int.self)
            let waiting = try await client.withConnection { _ in
                var waiting: [Task<Void, any Error>] = []
                for number in 0..<10 {
                    waiting.append(
                        Task {
                            if number % 2 == 0 {
                                try await client.withConnection { _ in _ = arrivals.yield(number) }
                            } else {
                                try await client.query("SELECT 1")
                            }
                        })
                    try await Task.sleep(for: .milliseconds(50))
                }
                return waiting
            }
            for task in waiting { try await task.value }
            arrivals.finish()
            #expect(await order.reduce(into: []) { $0.append($1) } == [0, 2, 4, 6, 8])
        }
    }

    @Test func cancelledWaiter_leavesTheLine() async throws {
        try await withDatabase(configure: { $0.poolSize = 1 }) { client, _ in
            try await client.withConnection { _ in
                let query = Task { await postgresError { try await client.query("SELECT 1") } }
                let lease = Task { await postgresError { try await client.withConnection { _ in } } }
                try await Task.sleep(for: .milliseconds(100))
                query.cancel()
                lease.cancel()
                #expect(await query.value?.code == .cancelled)
                #expect(await lease.value?.code == .cancelled)
            }
            #expect(try await client.query("SELECT 1").count == 1)
        }
    }

    @Test func terminatedConnection_isReplaced() async throws {
        try await withDatabase(configure: { $0.poolSize = 2 }) { client, _ in
            let error = await postgresError { try await client.query("SELECT pg_terminate_backend(pg_backend_pid())") }
            #expect(error?.code == .unavailable)
            for number in 0..<10 {
                let back = try await client.value("SELECT \(number)")
                #expect(back == number)
            }
        }
    }

    @Test func noServer_isUnavailableInBoundedTime() async throws {
        let configuration = PostgresConfiguration(url: "postgresql:///x?host=/nonexistent")
        let client = PostgresClient(configuration: configuration, logger: .quiet)
        for _ in 0..<3 {
            let start = ContinuousClock.now
            #expect(await postgresError { try await client.query("SELECT 1") }?.code == .unavailable)
            #expect(ContinuousClock.now - start < .seconds(2))
        }
        await client.shutdown()
    }

    @Test func hosts_areTriedOneAfterTheOther() async throws {
        try await withDatabase { _, database in
            let url = try #require(URLComponents(string: database.url))
            func item(_ name: String) -> String? { url.queryItems?.first { $0.name == name }?.value }
            let host = try #require(item("host") ?? url.host)
            let port = item("port") ?? "\(url.port ?? 5432)"
            let several = "postgresql://\(url.user ?? "")@\(url.path)?host=/nonexistent,\(host)&port=1,\(port)"
                + "&target_session_attrs=read-write"
            let client = PostgresClient(configuration: PostgresConfiguration(url: several), logger: .quiet)
            #expect(try await client.query("SELECT 1").count == 1)
            await client.shutdown()
        }
    }

    @Test func restart_isUnavailableAndThenMends() async throws {
        try await withCluster { cluster in
            try await cluster.run("start")
            let configuration = PostgresConfiguration(url: try await cluster.run("url"))
            let client = PostgresClient(configuration: configuration, logger: .quiet)
            let notifications = client.listen("news")
            var heard = notifications.makeAsyncIterator()
            #expect(await heard.next() == .connected)
            #expect(try await client.query("SELECT 1").count == 1)

            let sleeper = Task { await postgresError { try await client.query("SELECT pg_sleep(20)") } }
            try await Task.sleep(for: .milliseconds(100))
            try await cluster.run("stop")
            #expect(await sleeper.value?.code == .unavailable)
            #expect(await postgresError { try await client.query("SELECT 1") }?.code == .unavailable)

            try await cluster.run("start")
            let back = ContinuousClock.now
            try await eventually { (try? await client.query("SELECT 1").count) == 1 }
            // The longest pause between two attempts is a second; a busy machine adds to it.
            #expect(ContinuousClock.now - back < .seconds(8))
            #expect(await heard.next() == .disconnected)
            #expect(await heard.next() == .connected)
            await client.shutdown()
        }
    }

    @Test func shutdown_refusesNewWorkAndFinishesTheOld() async throws {
        try await withDatabase { client, _ in
            let shutdown = try await client.withConnection { connection in
                let shutdown = Task { await client.shutdown() }
                try await eventually { (try? await client.query("SELECT 1")) == nil }
                #expect(try await connection.query("SELECT 1").count == 1)
                return shutdown
            }
            await shutdown.value
            #expect(await postgresError { try await client.query("SELECT 1") }?.code == .unavailable)
            #expect(await postgresError { try await client.withConnection { _ in } }?.code == .unavailable)
            var events = client.listen("x").makeAsyncIterator()
            #expect(await events.next() == nil)
            await client.shutdown()
        }
    }
}

/// Runs a test beside a Postgres of its own, which ends with it.
private func withCluster(_ body: (Cluster) async throws -> Void) async throws {
    let cluster = try Cluster()
    do {
        try await body(cluster)
    } catch {
        try? await cluster.remove()
        throw error
    }
    try await cluster.remove()
}

/// A Postgres of the test's own, through the script that users run.
private struct Cluster {
    private let directory: URL

    init() throws {
        directory = URL(filePath: "/tmp/ringway-restart-\(UInt32.random(in: 0...UInt32.max))")
        // The server's user has to get through to its own directory inside.
        try FileManager.default.createDirectory(
            at: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o711])
    }

    /// On a thread of its own, because it blocks: the pool that tests run on has a thread a core.
    @discardableResult
    func run(_ command: String) async throws -> String {
        let script = URL(filePath: #filePath).appending(path: "../../../scripts/postgres.sh").standardizedFileURL
        let line = "'\(script.path)' \(command) '\(directory.path)'"
        let (status, text) = await withCheckedContinuation { (done: CheckedContinuation<(Int32, String), Never>) in
            Thread.detachNewThread { done.resume(returning: Self.shell(line)) }
        }
        try #require(status == 0)
        return text.trimmingCharacters(in: .newlines)
    }

    private static func shell(_ line: String) -> (status: Int32, output: String) {
        guard let pipe = popen(line, "r") else { return (-1, "") }
        var output: [UInt8] = []
        while true {
            let byte = fgetc(pipe)
            if byte == EOF { break }
            output.append(UInt8(byte))
        }
        return (pclose(pipe), String(decoding: output, as: UTF8.self))
    }

    func remove() async throws {
        try await run("stop")
        try FileManager.default.removeItem(at: directory)
    }
}
