// The loop of one client: a thread, an epoll and one connection at a time, which it makes again whenever it is lost.
// Created on its thread and never leaving it, so nothing here needs a lock; the mailbox is the only way in.
import CRedis
import EventLoop
import Logging

typealias RedisMailbox = Mailbox<RedisMessage>
typealias RedisAnswer = CheckedContinuation<Result<RedisReply, RedisError>, Never>

/// What the loop can be told.
enum RedisMessage: Sendable {
    case send(RedisCommand, on: UInt64, within: Duration, RedisAnswer)
    case post(RedisCommand, on: UInt64, isVital: Bool)
    /// The session must not be used any more.
    case end(UInt64)
    case opened(Result<OpenedRedis, RedisError>)
    case shutdown(CheckedContinuation<Void, Never>?)
}

final class RedisLoop: Loop {
    private enum Phase {
        case connecting
        case waiting(until: Instant)
        case connected(RedisConnection)
    }

    private let configuration: RedisConfiguration
    private let logger: Logger
    let mailbox: RedisMailbox
    private let events: AsyncStream<RedisEvent>.Continuation
    private let counters: RedisCounters
    let poller = Poller()
    var now = Instant.now
    var nextSweep = Instant.now
    private var phase = Phase.waiting(until: .now)
    /// Attempts that failed, and sessions that were short, since a session was not.
    private var failures = 0
    private(set) var isOver = false
    private var shutdownReplies: [CheckedContinuation<Void, Never>] = []

    /// A session that lasted so long was a good one.
    private static let goodSession: Duration = .seconds(5)

    init(
        _ configuration: RedisConfiguration, _ logger: Logger, _ mailbox: RedisMailbox, _ counters: RedisCounters,
        _ events: AsyncStream<RedisEvent>.Continuation
    ) {
        self.configuration = configuration
        self.logger = logger
        self.mailbox = mailbox
        self.counters = counters
        self.events = events
    }

    /// The thread's body. Returns after a shutdown.
    func run() {
        RedisConnector.blockBrokenPipes()
        takeTurns()
        for message in mailbox.finish() { handle(message) }
        events.finish()
        for reply in shutdownReplies { reply.resume() }
    }

    private var connection: RedisConnection? {
        if case .connected(let connection) = phase { connection } else { nil }
    }

    /// The connection, if the session is still its.
    private func connection(of session: UInt64) -> RedisConnection? {
        guard let connection, connection.session.number == session, !connection.isBroken else { return nil }
        return connection
    }

    // MARK: Messages

    func handle(_ message: RedisMessage) {
        switch message {
        case .send(let command, on: let session, within: let patience, let answer):
            send(command, on: session, within: patience, answer)
        case .post(let command, on: let session, isVital: let isVital):
            post(command, on: session, isVital: isVital)
        case .end(let session):
            if connection(of: session) != nil { lose(because: "its user asked for it") }
        case .opened(let result):
            opened(result)
        case .shutdown(let reply):
            if let reply { shutdownReplies.append(reply) }
            lose(because: nil)
            isOver = true
        }
    }

    func handleReady(_ token: UInt64) {
        guard let connection, connection.session.number == token else { return }
        connection.receive { pending, reply in accept(reply, to: pending) }
    }

    // MARK: Commands

    private func send(_ command: RedisCommand, on session: UInt64, within patience: Duration, _ answer: RedisAnswer) {
        func refuse(_ error: RedisError) {
            counters.refused.add(1)
            answer.resume(returning: .failure(error))
        }
        guard let connection = connection(of: session) else { return refuse(.sessionOver) }
        // Whoever came earlier has waited in vain: no need to try it again.
        if let first = connection.inFlight.first, first.sentAt + patience <= now { return refuse(.overdue) }
        guard hasRoom(for: command, on: connection) else { return refuse(.full) }
        let deadline = now + patience
        nextSweep = min(nextSweep, deadline)
        connection.append(
            command,
            PendingCommand(.caller(answer), isVital: false, bytes: command.wire.count, sentAt: now, deadline: deadline))
    }

    private func post(_ command: RedisCommand, on session: UInt64, isVital: Bool) {
        guard let connection = connection(of: session) else { return }
        guard hasRoom(for: command, on: connection) else {
            counters.refused.add(1)
            if isVital { lose(because: "too much is under way") }
            return
        }
        connection.append(command, PendingCommand(.posted, isVital: isVital, bytes: command.wire.count, sentAt: now))
    }

    private func hasRoom(for command: RedisCommand, on connection: RedisConnection) -> Bool {
        connection.inFlight.count < configuration.commandsMax
            && connection.bytesInFlight + command.wire.count <= configuration.bytesMax
    }

    /// False: the session is over.
    private func accept(_ reply: RedisReply, to pending: PendingCommand) -> Bool {
        counters.answered(after: now - pending.sentAt)
        if case .failure(let error) = reply {
            counters.errors.add(1)
            pending.answer(.failure(error))
            if pending.isVital {
                logger.warning("Redis refused what it must not", metadata: ["error": "\(error)"])
                return false
            }
            return true
        }
        if case .probe = pending.purpose {
            do throws(RedisError) {
                try RedisConnector.requirePrimary(reply)
            } catch {
                logger.warning("Redis can't be used", metadata: ["error": "\(error)"])
                return false
            }
        }
        pending.answer(.success(reply))
        return true
    }

    // MARK: Connecting

    private func connect() {
        phase = .connecting
        RedisConnector.open(configuration, answerTo: mailbox)
    }

    private func opened(_ result: Result<OpenedRedis, RedisError>) {
        guard !isOver, case .connecting = phase else { return }
        switch result {
        case .success(let opened):
            logger.notice("Redis is connected")
            let connection = RedisConnection(opened, number: mailbox.nextNumber(), now: now)
            phase = .connected(connection)
            poller.add(connection.descriptor, token: connection.session.number, interest: .read)
            counters.sessions.add(1)
            counters.isConnected.store(1)
            nextSweep = min(nextSweep, now + configuration.silence)
            events.yield(.connected(connection.session))
        case .failure(let error):
            counters.failedAttempts.add(1)
            if failures == 0 { logger.warning("Redis can't be reached", metadata: ["error": "\(error)"]) }
            retreat()
        }
    }

    /// 100 ms, doubling up to two seconds, each shortened by up to a fifth so that nodes don't come back in step.
    private func retreat() {
        failures += 1
        let milliseconds = min(2000, 50 << min(failures, 6)) * Int.random(in: 80...100) / 100
        phase = .waiting(until: now + .milliseconds(milliseconds))
        nextSweep = min(nextSweep, now + .milliseconds(milliseconds))
    }

    /// Everything under way fails, and the connection closes (its deinit does).
    private func lose(because reason: String?) {
        guard case .connected(let connection) = phase else { return }
        poller.remove(connection.descriptor)
        counters.isConnected.store(0)
        if let reason { logger.warning("The session with Redis is over", metadata: ["reason": "\(reason)"]) }
        for pending in connection.takeUnanswered() { pending.answer(.failure(.sessionOver)) }
        events.yield(.disconnected)
        if now - connection.openedAt >= Self.goodSession { failures = 0 }
        retreat()
    }

    /// After anything that may have changed the connection.
    func finishTurn() {
        guard let connection else { return }
        connection.flush()
        if connection.isBroken { return lose(because: "the connection is lost") }
        guard connection.wantsWrite != connection.watchesWrite else { return }
        connection.watchesWrite = connection.wantsWrite
        poller.change(
            connection.descriptor, token: connection.session.number,
            interest: connection.wantsWrite ? [.read, .write] : .read)
    }

    // MARK: Time

    func sweep() {
        switch phase {
        case .connecting: break
        case .waiting(let end): if due(end) { connect() }
        case .connected(let connection): sweep(connection)
        }
    }

    private func sweep(_ connection: RedisConnection) {
        for pending in connection.inFlight {
            guard case .caller(.some) = pending.purpose, let deadline = pending.deadline, due(deadline) else { continue }
            counters.timeouts.add(1)
            pending.answer(.failure(.overdue))
        }
        if let oldest = connection.inFlight.first, due(oldest.sentAt + configuration.silence) {
            return lose(because: "the server is silent")
        }
        // Busy or not: what a replica holds is found as well.
        if due(connection.probedAt + configuration.silence) {
            let probe = RedisConnector.roleQuestion
            connection.append(probe, PendingCommand(.probe, isVital: true, bytes: probe.wire.count, sentAt: now))
            connection.probedAt = now
            nextSweep = min(nextSweep, now + configuration.silence)
        }
    }
}
