// What hiredis does by blocking: looking up the host, connecting and logging in. Each attempt runs on a thread of its own
// and ends with a message to the loop; every step has a timeout.
import CRedis
import EventLoop
import Glibc

enum RedisConnector {
    /// Answers with `.opened`, always.
    static func open(_ configuration: RedisConfiguration, answerTo mailbox: RedisMailbox) {
        let started = Threads.detach {
            blockBrokenPipes()
            mailbox.post(.opened(Result { () throws(RedisError) in try connect(configuration) }))
        }
        if !started {
            mailbox.post(.opened(.failure(RedisError(.unavailable, reason: "no thread left to connect with"))))
        }
    }

    /// hiredis writes without MSG_NOSIGNAL; the signal goes to the thread that wrote.
    static func blockBrokenPipes() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    private static func connect(_ configuration: RedisConfiguration) throws(RedisError) -> OpenedRedis {
        let (seconds, attoseconds) = configuration.connectTimeout.components
        let timeout = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        let context =
            switch configuration.address {
            case .tcp(let host, let port): redisConnectWithTimeout(host, Int32(port), timeout)
            case .unix(let path): redisConnectUnixWithTimeout(path, timeout)
            }
        guard let context else { throw RedisError(.unavailable, reason: "out of memory") }
        let opened = OpenedRedis(owning: context)
        guard context.pointee.err == 0 else { throw opened.failure }
        redisSetTimeout(context, timeout)
        if case .tcp = configuration.address { redisEnableKeepAlive(context) }

        if let password = configuration.password {
            try opened.ask(RedisCommand(["AUTH"].map(\.bytes) + [configuration.user, password].compactMap { $0?.bytes }))
        }
        if configuration.database != 0 { try opened.ask(RedisCommand("SELECT", "\(configuration.database)")) }
        try opened.ask(RedisCommand("CLIENT", "SETNAME", configuration.clientName))
        try requirePrimary(try opened.ask(roleQuestion))
        for script in configuration.scripts {
            guard case .bytes(let sum) = try opened.ask(RedisCommand("SCRIPT", "LOAD", script.text)) else {
                throw RedisError(.unavailable, reason: "a script was not taken")
            }
            opened.sums[script] = sum
        }
        return opened
    }

    static let roleQuestion = RedisCommand("ROLE")

    /// What a replica holds is older than what it will be told, and it takes no writes.
    static func requirePrimary(_ reply: RedisReply) throws(RedisError) {
        guard case .array(let parts) = reply, parts.first == .bytes("master".bytes) else {
            throw RedisError(.unavailable, reason: "this server is a replica")
        }
    }
}

/// A connection on its way from the thread that opened it to the loop; closed if it never arrives.
///
/// Unchecked, because a redisContext may be used by one thread at a time and this is handed over, not shared: the opener
/// posts it as its last act, and the loop takes it out.
final class OpenedRedis: @unchecked Sendable {
    private var context: UnsafeMutablePointer<redisContext>?
    var sums: [RedisScript: [UInt8]] = [:]

    init(owning context: UnsafeMutablePointer<redisContext>) {
        self.context = context
    }

    deinit {
        if let context { redisFree(context) }
    }

    /// Once, and then without blocking. The caller frees it.
    func take() -> UnsafeMutablePointer<redisContext> {
        guard let context else { preconditionFailure("a connection can be taken once") }
        self.context = nil
        context.pointee.flags &= ~REDIS_BLOCK
        let flags = fcntl(context.pointee.fd, F_GETFL)
        _ = fcntl(context.pointee.fd, F_SETFL, flags | O_NONBLOCK)
        return context
    }

    /// hiredis' words about a connection: of the system or its own, never the server's.
    var failure: RedisError {
        guard let context else { return .sessionOver }
        let words = withUnsafeBytes(of: context.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return RedisError(.unavailable, reason: words)
    }

    /// Blocks until the answer is there.
    @discardableResult
    func ask(_ command: RedisCommand) throws(RedisError) -> RedisReply {
        guard let context else { throw .sessionOver }
        var answer: UnsafeMutableRawPointer?
        let isSent = command.wire.withUnsafeBytes { bytes in
            redisAppendFormattedCommand(context, bytes.baseAddress, bytes.count) == REDIS_OK
        }
        guard isSent, redisGetReply(context, &answer) == REDIS_OK, let answer else { throw failure }
        defer { freeReplyObject(answer) }
        let reply = RedisReply(answer.assumingMemoryBound(to: redisReply.self))
        if case .failure(let error) = reply { throw error }
        return reply
    }
}

extension String {
    var bytes: [UInt8] { Array(utf8) }
}
