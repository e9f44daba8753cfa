// The Swift SDK: one device of one user. It stays connected by itself, misses no entry of the user's log, gives each
// once and in order, and answers a send when the message is committed.
//
// This file: the public session and the I/O around ClientSession, which decides. RingwayClient+Calls.swift: the
// calls over HTTP. A client lives until it is closed.
import Contract
import Foundation
import NIOCore
import SwiftProtobuf

public actor RingwayClient {
    public typealias Event = Ringway_V1_Event
    public typealias Sent = Ringway_V1_Sent
    public typealias Profile = Ringway_V1_Profile
    public typealias Friend = Ringway_V1_Friend
    public typealias FriendRequest = Ringway_V1_FriendRequest
    public typealias FriendEvent = Ringway_V1_FriendEvent
    public typealias Device = Ringway_V1_Device
    public typealias Answer = @Sendable (Result<Sent, any Error>) -> Void

    public struct Configuration: Sendable {
        /// The HTTP API, e.g. "http://127.0.0.1:7401".
        public var httpURL: String
        /// The gateway, e.g. "ws://127.0.0.1:7400/ws"; nil: the one that the HTTP API assigns.
        public var webSocketURL: String?
        /// The wait before a new connection is drawn from 0 to a ceiling that doubles from base up to max.
        public var backoffBase: Duration = .milliseconds(100)
        public var backoffMax: Duration = .seconds(10)
        /// From the first packet until the session is there.
        public var connectTimeout: Duration = .seconds(10)
        /// Told to the server, for its logs; at most 128 characters.
        public var clientName = "ringway-swift/0.1"
        /// Trusted beside the system's, for wss and https.
        public var trustedAuthorities: TrustedAuthorities?

        public init(httpURL: String, webSocketURL: String? = nil) {
            self.httpURL = httpURL
            self.webSocketURL = webSocketURL
        }

        fileprivate var isSecure: Bool {
            ["https", "wss"].contains(URL(string: webSocketURL ?? httpURL)?.scheme?.lowercased())
        }

        fileprivate var session: ClientSession.Settings {
            var settings = ClientSession.Settings()
            settings.backoffBase = backoffBase
            settings.backoffMax = backoffMax
            settings.connectTimeout = connectTimeout
            settings.clientName = clientName
            return settings
        }
    }

    /// Reading stops above the first and goes on below the second.
    private static let eventsHigh = 1000
    private static let eventsLow = 500

    nonisolated let http: HTTPCaller
    nonisolated let tokens: TokenKeeper
    private let configuration: Configuration
    private var session: ClientSession

    private var socket: WebSocket?
    private var connecting: Task<Void, Never>?
    /// What hello said last; known when it is rejected.
    private var tokenInUse: String?
    private var timer: (due: ClientSession.Instant, task: Task<Void, Never>)?
    private var answers: [String: Answer] = [:]

    private var buffered = Fifo<ClientEvent>()
    private var consumer: CheckedContinuation<ClientEvent?, Never>?
    private var reader: CheckedContinuation<Void, Never>?

    /// onCredentialsChange is awaited before new tokens are used: store them there.
    public init(
        configuration: Configuration,
        credentials: Credentials,
        onCredentialsChange: @escaping @Sendable (Credentials) async -> Void = { _ in }
    ) {
        self.configuration = configuration
        http = HTTPCaller(baseURL: configuration.httpURL, trusting: configuration.trustedAuthorities)
        tokens = TokenKeeper(credentials, http: http, onChange: onCredentialsChange)
        session = ClientSession(
            deviceID: credentials.deviceID, settings: configuration.session, random: { .random(in: 0..<1) })
    }

    // MARK: The session

    /// Starts to connect, and to connect again whenever the connection is lost, until close or a final refusal.
    /// seq: the last that the app has, 0 for none; everything after it comes as events.
    public func connect(since seq: Int64) {
        perform(session.start(since: seq, now: .now))
    }

    /// Ends the session; sends that wait fail. The last event is closed.
    public func close() {
        perform(session.close())
    }

    /// What happens, from the beginning. For one consumer.
    public nonisolated var events: ClientEvents { ClientEvents(client: self) }

    /// Returns when the message is committed, however many connections that takes. Throws RingwayError when the
    /// server refuses it or the client ends, CancellationError when the task is cancelled; the message may be
    /// committed even so.
    public func send(_ text: String, to userID: Int64) async throws -> Sent {
        let clientID = Self.newClientID()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                do {
                    try post(text, to: userID, clientID: clientID) { continuation.resume(with: $0) }
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        } onCancel: {
            Task { await self.abandonSend(clientID) }
        }
    }

    /// The same without waiting: messages are sent in the order of these calls. answer is called once, with the
    /// commit or with a RingwayError, on the client's executor.
    public func post(_ text: String, to userID: Int64, answer: @escaping Answer) throws(RingwayError) {
        try post(text, to: userID, clientID: Self.newClientID(), answer: answer)
    }

    private func post(
        _ text: String, to userID: Int64, clientID: String, answer: @escaping Answer
    ) throws(RingwayError) {
        let actions = try session.send(text, to: userID, clientID: clientID, now: .now)
        answers[clientID] = answer
        perform(actions)
    }

    /// Tells the server that this device has stored everything up to seq. Cheap: acks are sent together.
    public func ack(_ seq: Int64) {
        session.ack(seq, now: .now)
        arm()
    }

    private func abandonSend(_ clientID: String) {
        session.abandonSend(clientID: clientID)
        answers.removeValue(forKey: clientID)?(.failure(CancellationError()))
    }

    /// 128 random bits: unique on the device for ever, without a counter to store.
    private static func newClientID() -> String {
        [UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)]
            .map { String($0, radix: 36) }.joined(separator: "-")
    }

    // MARK: Actions

    private func perform(_ actions: [ClientSession.Action]) {
        for action in actions {
            switch action {
            case .dial(let connection, let url, let tokenWasRejected):
                let rejected = tokenWasRejected ? tokenInUse : nil
                connecting = Task { await run(connection, url: url, rejectedToken: rejected) }
            case .hangUp:
                hangUp()
            case .write(let frame):
                // A message of this contract has no required fields, so it always serializes.
                if let bytes = try? frame.serializedBytes() as [UInt8] { socket?.write(bytes) }
            case .pull(let since):
                Task { await pull(since: since) }
            case .settle(let clientID, let result):
                answers.removeValue(forKey: clientID)?(result.mapError { $0 as any Error })
            case .emit(let event):
                emit(event)
            }
        }
        arm()
    }

    private func hangUp() {
        socket?.writeClose(code: 1000)
        socket = nil
        connecting?.cancel()
        connecting = nil
        readOn()
    }

    /// Sets the timer for the session's next deadline. One that fires early does no harm.
    private func arm() {
        guard let due = session.nextDeadline else {
            timer?.task.cancel()
            timer = nil
            return
        }
        if let timer, timer.due <= due { return }
        timer?.task.cancel()
        let task = Task {
            guard (try? await Task.sleep(until: due, clock: .continuous)) != nil else { return }
            timer = nil
            perform(session.tick(now: .now))
        }
        timer = (due, task)
    }

    // MARK: A connection

    /// The whole life of one: token, gateway, socket, frames, end.
    private func run(_ connection: Int, url: String?, rejectedToken: String?) async {
        do {
            let token = try await tokens.token(replacing: rejectedToken)
            let url = try await gateway(preferring: url)
            let socket = try await WebSocket.open(
                url, trusting: configuration.trustedAuthorities, timeout: configuration.connectTimeout)
            opened(connection, socket, token: token)
            let closure = await socket.receive { await self.received($0, connection: connection) }
            closed(connection, closure)
        } catch let error as RingwayError {
            perform(session.openFailed(connection: connection, error: error, now: .now))
        } catch {
            let error = RingwayError(code: RingwayError.unavailable, message: "cannot reach the gateway")
            perform(session.openFailed(connection: connection, error: error, now: .now))
        }
    }

    /// A server may hand a session over to another gateway, but not from an encrypted connection to an open one.
    private func gateway(preferring handover: String?) async throws -> String {
        if let handover, let secure = URL(string: handover)?.isSecureWebSocket, secure || !configuration.isSecure {
            return handover
        }
        if let configured = configuration.webSocketURL { return configured }
        return try await locateGateway()
    }

    private func opened(_ connection: Int, _ socket: WebSocket, token: String) {
        // A connection that was given up while it was opened: receive ends at once, and closes the socket.
        guard connection == session.connection, !Task.isCancelled else { return }
        self.socket = socket
        tokenInUse = token
        perform(session.opened(connection: connection, token: token, now: .now))
    }

    private func received(_ message: ByteBuffer, connection: Int) async {
        // What is not understood is of a later version of the contract.
        guard let frame = try? Ringway_V1_ServerFrame(serializedBytes: Array(message.readableBytesView)) else { return }
        perform(session.received(frame, connection: connection, now: .now))
        if buffered.count > Self.eventsHigh, connection == session.connection, !session.isEnded {
            session.pauseReading()
            arm()
            await withCheckedContinuation { reader = $0 }
            session.resumeReading(now: .now)
            arm()
        }
    }

    private func closed(_ connection: Int, _ closure: WebSocket.Closure) {
        guard connection == session.connection else { return }
        socket = nil
        perform(
            session.closed(connection: connection, code: closure.code, reason: closure.reason, now: .now))
    }

    private func pull(since seq: Int64) async {
        do {
            let answer = try await readInbox(since: seq, limit: 1000)
            perform(session.pulled(answer, now: .now))
        } catch {
            let refusal = error as? RingwayError ?? RingwayError(code: RingwayError.unavailable, message: "\(error)")
            perform(session.pullFailed(refusal, now: .now))
        }
    }

    // MARK: Events

    private func emit(_ event: ClientEvent) {
        if let consumer {
            self.consumer = nil
            consumer.resume(returning: event)
        } else {
            buffered.append(event)
        }
        if session.isEnded { hangUp() }
    }

    func nextEvent() async -> ClientEvent? {
        if let event = buffered.popFirst() {
            if buffered.count <= Self.eventsLow { readOn() }
            return event
        }
        guard !session.isEnded else { return nil }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                consumer?.resume(returning: nil)
                consumer = continuation
            }
        } onCancel: {
            Task { await self.endConsumer() }
        }
    }

    private func endConsumer() {
        consumer?.resume(returning: nil)
        consumer = nil
    }

    private func readOn() {
        reader?.resume()
        reader = nil
    }
}
