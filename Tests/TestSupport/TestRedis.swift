// A Redis of a test's own, on a unix socket in a directory of its own, which the test may kill, stop and start again.
import Foundation
import Glibc

public actor TestRedis {
    public nonisolated let url: String
    private let directory: URL
    private let settings: [String]
    private var process: Process?

    private nonisolated var socket: String { directory.appending(path: "redis.sock").path }

    /// - Parameter settings: of redis-server, such as `--requirepass`, `secret`.
    public static func with(
        _ settings: [String] = [], password: String? = nil, _ body: @Sendable (TestRedis) async throws -> Void
    ) async throws {
        let redis = try TestRedis(settings, password: password)
        do {
            try await redis.start()
            try await body(redis)
        } catch {
            await redis.remove()
            throw error
        }
        await redis.remove()
    }

    private init(_ settings: [String], password: String?) throws {
        directory = URL(filePath: "/tmp/ringway-redis-\(UInt64.random(in: 0...(.max)))")
        try FileManager.default.createDirectory(
            at: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        self.settings = settings + (password.map { ["--requirepass", $0] } ?? [])
        url = "unix://" + (password.map { ":\($0)@" } ?? "") + directory.appending(path: "redis.sock").path
    }

    /// Returns when it answers. What it has saved before is there again.
    public func start() async throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/redis-server")
        process.arguments =
            ["--port", "0", "--unixsocket", socket, "--dir", directory.path, "--save", "", "--daemonize", "no"] + settings
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        self.process = process
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            let answer = try ask(["PING"])
            if answer.contains("PONG") || answer.contains("NOAUTH") { return }
            guard process.isRunning, ContinuousClock.now < deadline else { throw RedisDidNotStart() }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    public func signal(_ number: Int32) {
        if let process, process.isRunning { _ = Glibc.kill(process.processIdentifier, number) }
    }

    /// kill -9: nothing is saved.
    public func kill() async {
        signal(SIGKILL)
        while process?.isRunning == true { try? await Task.sleep(for: .milliseconds(2)) }
        process = nil
    }

    /// What redis-cli prints.
    @discardableResult
    public func ask(_ words: [String]) throws -> String {
        let client = Process()
        client.executableURL = URL(filePath: "/usr/bin/redis-cli")
        client.arguments = ["-s", socket] + words
        let output = Pipe()
        client.standardInput = FileHandle.nullDevice
        client.standardOutput = output
        client.standardError = output
        try client.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        client.waitUntilExit()
        return String(decoding: said, as: UTF8.self)
    }

    private func remove() async {
        await kill()
        try? FileManager.default.removeItem(at: directory)
    }
}

public struct RedisDidNotStart: Error {}
