// The sessions of one reactor. An actor whose executor is the reactor itself: everything in it runs on that thread,
// between the turns of its loop.
//
// This file: connections come, speak and go. SessionHost+Frames: what each frame does. SessionHost+Delivery: events and
// answers on their way out.
import Contract
import GRPCCore
import Inbox
import Logging
import Reactor
import ServiceKit

actor SessionHost: ReactorHandler {
    /// What the hosts of a node share.
    struct Environment: Sendable {
        let settings: GatewaySettings
        let router: Router
        let writer: InboxWriter
        let reader: InboxStore
        let cursors: CursorStore
        let lastSeen: LastSeen
        let services: GatewayServices
        let logger: Logger
    }

    /// A user with sessions here.
    struct Presence {
        var connections: Set<ConnectionID> = []
        /// Who may be written to, as far as asked; dropped whenever the log of either grows by a change.
        var mayWriteTo: [Int64: Bool] = [:]
    }

    let reactor: Reactor
    let environment: Environment
    let mailbox: Mailbox
    var sessions: [ConnectionID: Session] = [:]
    var users: [Int64: Presence] = [:]
    /// Who remembers an answer about a user, so that a change of that user's is forgotten in one step.
    var rememberedBy: [Int64: Set<Int64>] = [:]
    /// Counts the times that relations were dropped, so that an answer from before is not remembered after.
    var relationEpoch = 0
    /// Counts the times that hints may have been lost, and word of ended devices: who reads after one gives way to the next.
    var lostHints = 0
    private var lostEnds = 0
    private var isEnding = false
    /// Devices to be asked about next, and who wants to know.
    private var questions: [Caller: [CheckedContinuation<Bool, any Error>]] = [:]
    private var isAsking = false
    /// Keys of which no token counts any more.
    private(set) var revokedKeys: Set<String> = []
    /// Of all tokens so far, so that sessions share the text.
    private var keyIDs: Set<String> = []
    /// Connections without a hello, the oldest first, each with its deadline.
    private var helloDeadlines: [(connection: ConnectionID, at: ContinuousClock.Instant)] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    init(reactor: Reactor, environment: Environment) {
        self.reactor = reactor
        self.environment = environment
        mailbox = Mailbox { reactor.wake() }
        environment.router.add(mailbox)
    }

    // MARK: The reactor's turn

    nonisolated func started(on reactor: Reactor) {
        Task { await self.watchHellos() }
    }

    nonisolated func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        assumeIsolated { host in
            batch.forEach { event in host.take(event) }
        }
    }

    nonisolated func turned(on reactor: Reactor) {
        let deliveries = mailbox.take()
        guard !deliveries.isEmpty else { return }
        assumeIsolated { host in
            for delivery in deliveries { host.deliver(delivery) }
        }
    }

    private func take(_ event: borrowing Event) {
        switch event.kind {
        case .opened: open(event)
        case .message: receive(event)
        case .writable: resumeSending(event.connection)
        case .closed: closed(event.connection)
        }
    }

    // MARK: Coming and going

    private func open(_ event: borrowing Event) {
        let header = event.withPayload { String(decoding: $0, as: UTF8.self) }
        let format = event.subprotocol.flatMap { FrameFormat(rawValue: $0) } ?? .json
        let address = reactor.peer(of: event.connection).map { IPAddress(peer: $0).text } ?? ""
        sessions[event.connection] = Session(
            connection: event.connection, format: format,
            address: environment.settings.proxies.trusts(address) ? "" : address,
            headerToken: AuthenticationInterceptor.bearerToken(inHeader: header))
        helloDeadlines.append((event.connection, .now + environment.settings.helloLimit))
    }

    private func closed(_ connection: ConnectionID) {
        guard let session = sessions.removeValue(forKey: connection) else { return }
        if session.user != 0 { leave(session) }
    }

    func enter(_ connection: ConnectionID, user: Int64) {
        users[user, default: Presence()].connections.insert(connection)
        environment.router.directory.enter(user, reactor: reactor.index)
    }

    private func leave(_ session: Session) {
        let wasLast = environment.router.directory.leave(session.user, reactor: reactor.index)
        if wasLast { environment.lastSeen.left(session.user) }
        users[session.user]?.connections.remove(session.connection)
        guard users[session.user]?.connections.isEmpty == true else { return }
        forgetAnswers(to: session.user)
        users[session.user] = nil
    }

    /// Throws for a key that is revoked.
    func note(_ keyID: String, of connection: ConnectionID) throws(RPCError) {
        guard !revokedKeys.contains(keyID) else {
            throw RPCError(code: .unauthenticated, message: "the token's key is revoked")
        }
        sessions[connection]?.keyID = keyIDs.insert(keyID).memberAfterInsert
    }

    /// No token of these keys is welcome any more, and a moment later the sockets that came with one close: by then every
    /// node knows the key that signs instead, and who comes back at once with a new token is let in.
    func revoke(_ keys: Set<String>) {
        revokedKeys = keys
        guard !keys.isDisjoint(with: keyIDs) else { return }
        Task {
            try? await Task.sleep(for: .milliseconds(300))
            for session in sessions.values where keys.contains(session.keyID) {
                close(session.connection, .unauthenticated)
            }
        }
    }

    /// Whatever its sockets were still to be sent.
    func end(_ device: Int64, of user: Int64) {
        for connection in users[user]?.connections ?? [] where sessions[connection]?.device == device {
            close(connection, .deviceRevoked)
        }
    }

    /// Asks which of the devices that are here have ended, until it is told, or until there is more to ask.
    func endEndedDevices() async {
        lostEnds += 1
        let loss = lostEnds
        let present = Set(sessions.values.filter { $0.user != 0 }.map { Caller(userID: $0.user, deviceID: $0.device) })
        let open = Array(present)
        for start in stride(from: 0, to: open.count, by: 1000) {
            let chunk = Array(open[start...].prefix(1000))
            let ended = await persisting(while: { self.lostEnds == loss }) {
                try await self.environment.services.endedDevices(chunk)
            }
            for device in ended ?? [] { end(device.deviceID, of: device.userID) }
        }
    }

    /// Whether a device is, by what the database says from now on. While one question is under way, those who come gather,
    /// and theirs is the next: a crowd of sessions that begin takes few.
    func isLoggedIn(_ device: Caller) async throws -> Bool {
        try await withCheckedThrowingContinuation { answer in
            questions[device, default: []].append(answer)
            guard !isAsking else { return }
            isAsking = true
            Task { await ask() }
        }
    }

    private func ask() async {
        while !questions.isEmpty {
            let asked = questions.prefix(1000)
            for (device, _) in asked { questions[device] = nil }
            do {
                let ended = Set(try await environment.services.endedDevices(asked.map(\.key)))
                for (device, answers) in asked { for answer in answers { answer.resume(returning: !ended.contains(device)) } }
            } catch {
                for (_, answers) in asked { for answer in answers { answer.resume(throwing: error) } }
            }
        }
        isAsking = false
    }

    /// Tries until it succeeds. Nil: it need not any more, or the node ends.
    func persisting<Value: Sendable>(
        while isWanted: () -> Bool, _ body: () async throws -> Value
    ) async -> Value? {
        while isWanted(), !isEnding {
            if let value = try? await body() { return value }
            try? await Task.sleep(for: .milliseconds(500))
        }
        return nil
    }

    func close(_ connection: ConnectionID, _ code: CloseCode, _ reason: String? = nil) {
        guard sessions[connection] != nil else { return }
        sessions[connection]?.phase = .closing
        reactor.close(connection, code: code.rawValue, reason: reason ?? code.reason)
    }

    /// Looks at the oldest connections without a hello until the reactor ends.
    private func watchHellos() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(250))
            let now = ContinuousClock.now
            let due = helloDeadlines.prefix { $0.at <= now }
            for entry in due where sessions[entry.connection]?.phase == .awaitingHello {
                close(entry.connection, .noHello)
            }
            helloDeadlines.removeFirst(due.count)
        }
    }

    // MARK: Draining

    /// No new connections; those that are open are asked to connect again at a moment of their own.
    func beginDrain() {
        reactor.stopListening()
        let window = environment.settings.drainWindow
        for session in sessions.values where session.phase == .live {
            let after = Int32.random(in: 0...Int32(clamping: max(1, window.wholeMilliseconds)))
            tell(session.connection, .reconnect(.with { $0.afterMs = after; $0.reason = "draining" }))
        }
    }

    func endDrain() {
        isEnding = true
        for connection in sessions.keys { close(connection, .draining) }
    }

    var openSessions: Int { sessions.count }

    var statistics: ReactorStatistics { reactor.statistics }
}
