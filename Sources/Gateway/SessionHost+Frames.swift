// What each frame of a client does.
import Contract
import GRPCCore
import Inbox
import Reactor
import ServiceKit
import SwiftProtobuf

extension SessionHost {
    func receive(_ event: borrowing Event) {
        let connection = event.connection
        guard let session = sessions[connection], session.phase != .closing else { return }
        let frame = event.messageKind == session.format.messageKind
            ? event.withPayload { session.format.decode($0) } : nil
        guard let frame else {
            refuse(connection, .init(code: .invalidArgument, message: "not a frame of the agreed subprotocol"))
            close(connection, .protocolError, "undecodable frame")
            return
        }
        switch (frame, session.phase) {
        case (.hello(let hello), .awaitingHello): greet(connection, hello)
        case (.hello, _): close(connection, .protocolError, "second hello")
        case (_, .awaitingHello): close(connection, .protocolError, "the first frame must be hello")
        case (_, .authenticating): close(connection, .protocolError, "frame before welcome")
        case (.send(let send), _): accept(connection, send)
        case (.ack(let ack), _): acknowledge(connection, ack)
        case (.call(let call), _): answer(connection, call)
        case (.ping, _): tell(connection, .pong(.init()))
        }
    }

    // MARK: hello

    private static let clientRule = TextRule(characters: 0...128)

    private func greet(_ connection: ConnectionID, _ hello: Ringway_V1_Hello) {
        let token = hello.token.isEmpty ? sessions[connection]?.headerToken ?? "" : hello.token
        sessions[connection]?.headerToken = nil
        guard hello.sinceSeq >= 0 else {
            refuseHello(connection, .init(.invalidArgument, "since_seq must not be negative", field: "since_seq"))
            return
        }
        if let violation = Self.clientRule.violation(by: hello.client) {
            refuseHello(connection, .init(.invalidArgument, "client \(violation)", field: "client"))
            return
        }
        sessions[connection]?.phase = .authenticating
        Task {
            do {
                let admission = try await environment.services.verify(token)
                try note(admission.keyID, of: connection)
                try await welcome(connection, admission.caller, hello)
            } catch {
                rejectHello(connection, RPCError(orUnknown: error))
            }
        }
    }

    private func welcome(_ connection: ConnectionID, _ caller: Caller, _ hello: Ringway_V1_Hello) async throws {
        guard sessions[connection]?.phase == .authenticating else { return }
        sessions[connection]?.user = caller.userID
        sessions[connection]?.device = caller.deviceID
        // Entered before the head is read: what is appended from now on is routed here, what was appended before is
        // at or below the head.
        enter(connection, user: caller.userID)
        // From now on this session hears of its device's end. That it has not come before is not asked of a memory.
        guard try await isLoggedIn(caller) else {
            throw RPCError(code: .unauthenticated, message: "the device has ended")
        }
        guard let head = try await environment.reader.head(of: caller.userID) else {
            throw RPCError(code: .unauthenticated, message: "the account has no log")
        }
        guard sessions[connection]?.phase == .authenticating else { return }
        guard hello.sinceSeq <= head else {
            let message = "since_seq is ahead of the log's head, \(head)"
            refuseHello(connection, .init(.outOfRange, message, field: "since_seq"))
            return
        }
        let settings = environment.settings
        let id = SessionID(reactor: reactor.index, connection: connection).text
        environment.logger.debug(
            "session",
            metadata: [
                "session": "\(id)", "user": "\(caller.userID)", "device": "\(caller.deviceID)",
                "client": "\(hello.client)",
            ])
        sessions[connection]?.resume(since: hello.sinceSeq, head: head)
        reactor.trust(connection)
        reactor.setIdleLimit(settings.heartbeat * 5 / 2, of: connection)
        tell(connection, .welcome(.with {
            $0.sessionID = id
            $0.heartbeatMs = Int32(clamping: settings.heartbeat.wholeMilliseconds)
            $0.headSeq = head
            $0.limits = .with {
                $0.frameBytesMax = Int32(settings.frameBytesMax)
                $0.textBytesMax = Int32(InboxRules.textBytesMax)
                $0.clientIDBytesMax = Int32(InboxRules.clientIDBytesMax)
            }
            $0.userID = caller.userID
            $0.deviceID = caller.deviceID
        }))
        pull(connection)
    }

    /// A hello that no retry mends.
    private func refuseHello(_ connection: ConnectionID, _ error: RPCError) {
        refuse(connection, error)
        close(connection, .protocolError, error.message)
    }

    private func rejectHello(_ connection: ConnectionID, _ error: RPCError) {
        if error.code == .unauthenticated {
            close(connection, .unauthenticated)
        } else {
            refuse(connection, .init(code: .unavailable, message: "the service is not available; try again"))
            close(connection, .unavailable)
        }
    }

    // MARK: send

    private func accept(_ connection: ConnectionID, _ send: Ringway_V1_Send) {
        guard let session = sessions[connection] else { return }
        do {
            try InboxRules.check(send, from: session.user)
        } catch {
            refuse(connection, .init(.invalidArgument, error.message, field: error.field), clientID: send.clientID)
            return
        }
        let pending = PendingSend(clientID: send.clientID, text: send.body.text)
        if let waiting = session.checking[send.to] {
            // The recipient is being asked about: stay behind what came first.
            guard waiting.count < Session.waitingMax else {
                refuse(connection, Self.busy, clientID: send.clientID, retryAfter: 500)
                return
            }
            sessions[connection]?.checking[send.to]?.append(pending)
        } else if let allowed = users[session.user]?.mayWriteTo[send.to] {
            offer(connection, pending, to: send.to, allowed: allowed)
        } else {
            sessions[connection]?.checking[send.to] = [pending]
            check(connection, sender: session.user, recipient: send.to)
        }
    }

    private func check(_ connection: ConnectionID, sender: Int64, recipient: Int64) {
        let epoch = relationEpoch
        Task {
            var failure: RPCError?
            var allowed = false
            do {
                allowed = try await environment.services.mayWrite(sender, recipient)
            } catch {
                failure = RPCError(orUnknown: error)
            }
            if failure == nil, epoch == relationEpoch { remember(recipient, allowed, to: sender) }
            let waiting = sessions[connection]?.checking.removeValue(forKey: recipient) ?? []
            for pending in waiting {
                if failure == nil {
                    offer(connection, pending, to: recipient, allowed: allowed)
                } else {
                    refuse(connection, Self.unavailable, clientID: pending.clientID, retryAfter: 1000)
                }
            }
        }
    }

    private func offer(_ connection: ConnectionID, _ pending: PendingSend, to recipient: Int64, allowed: Bool) {
        guard let session = sessions[connection], session.phase == .live else { return }
        guard allowed else {
            recall(connection, pending.clientID)
            return
        }
        let message = OutgoingMessage(pending, from: session.user, device: session.device, to: recipient)
        let origin = SessionID(reactor: reactor.index, connection: connection)
        let router = environment.router
        let accepted = environment.writer.offer(message) { router.answered(message, $0, origin: origin) }
        if !accepted { refuse(connection, Self.busy, clientID: pending.clientID, retryAfter: 500) }
    }

    /// Who is no friend may have been one when the message was first sent: such a retry gets the first answer again.
    private func recall(_ connection: ConnectionID, _ clientID: String) {
        guard let session = sessions[connection] else { return }
        guard session.recalling < Session.waitingMax else {
            refuse(connection, Self.busy, clientID: clientID, retryAfter: 500)
            return
        }
        sessions[connection]?.recalling += 1
        Task {
            let found: Result<Appended?, any Error>
            do {
                found = .success(
                    try await environment.reader.sent(by: session.user, device: session.device, clientID: clientID))
            } catch {
                found = .failure(error)
            }
            sessions[connection]?.recalling -= 1
            switch found {
            case .success(let first?): answer(connection, clientID, .success(first))
            case .success(nil): answer(connection, clientID, .failure(.noInbox))
            case .failure: answer(connection, clientID, .failure(.unavailable))
            }
        }
    }

    static let busy = RPCError(code: .resourceExhausted, message: "too many messages wait to be stored; try again")
    static let unavailable = RPCError(code: .unavailable, message: "the message could not be stored; try again")

    // MARK: ack

    private func acknowledge(_ connection: ConnectionID, _ ack: Ringway_V1_Ack) {
        guard let session = sessions[connection] else { return }
        guard ack.seq >= 0 else {
            refuse(connection, .init(.invalidArgument, "seq must not be negative", field: "seq"))
            return
        }
        guard ack.seq <= session.known else {
            refuse(connection, .init(.outOfRange, "seq is ahead of the log's head", field: "seq"))
            return
        }
        environment.cursors.acknowledge(user: session.user, device: session.device, seq: ack.seq)
    }
}

// MARK: call

extension SessionHost {
    private static let callIDBytes = 1...64

    private func answer(_ connection: ConnectionID, _ call: Ringway_V1_Call) {
        guard let session = sessions[connection] else { return }
        guard Self.callIDBytes.contains(call.id.utf8.count) else {
            refuse(connection, .init(.invalidArgument, "a call's id has 1 to 64 bytes", field: "id"))
            return
        }
        guard !session.calling.contains(call.id) else {
            refuse(connection, .init(.invalidArgument, "a call with this id is not answered yet", field: "id"))
            return
        }
        guard session.calling.count < Session.callsMax else {
            let error = RPCError(code: .resourceExhausted, message: "\(Session.callsMax) calls are not answered yet")
            tell(connection, .reply(.with { $0.id = call.id; $0.error = .init(telling: error, retryAfter: 100) }))
            return
        }
        sessions[connection]?.calling.insert(call.id)
        let caller = Caller(userID: session.user, deviceID: session.device)
        Task {
            var reply = await environment.services.calls.answer(
                call, from: caller, at: Peer(address: session.address), in: session.format)
            if reply.count > environment.settings.replyBytesMax { reply = SocketCalls.refuseLength(call, in: session.format) }
            sessions[connection]?.calling.remove(call.id)
            tell(connection, encoded: reply)
        }
    }
}

extension OutgoingMessage {
    /// The two logs keep the same message, but only the sender's knows device and client id.
    fileprivate init(_ pending: PendingSend, from sender: Int64, device: Int64, to recipient: Int64) {
        var message = Ringway_V1_Message.with {
            $0.from = sender
            $0.to = recipient
            $0.body.text = pending.text
        }
        let recipientPayload = message.payload
        message.fromDevice = device
        message.clientID = pending.clientID
        self.init(
            sender: sender, device: device, clientID: pending.clientID, recipient: recipient,
            senderPayload: message.payload, recipientPayload: recipientPayload)
    }
}

extension Ringway_V1_Message {
    /// Encoding fails only for google.protobuf.Any.
    fileprivate var payload: [UInt8] {
        let message = self
        return (try? Ringway_V1_Event.with { $0.message = message }.serializedBytes()) ?? []
    }
}
