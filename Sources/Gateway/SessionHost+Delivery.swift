// Events and answers on their way out.
import Contract
import Foundation
import GRPCCore
import Inbox
import Reactor
import ServiceKit
import SwiftProtobuf

extension SessionHost {
    static let pullLimit = 200

    func deliver(_ delivery: Delivery) {
        switch delivery {
        case .event(let user, let event, let except):
            fanOut(event, to: user, except: except)
        case .answer(let origin, let clientID, let result):
            answer(origin.connection, clientID, result)
        case .changed(let user):
            forgetRelations(of: user)
        case .hint(let user, let seq):
            for connection in users[user]?.connections ?? [] {
                sessions[connection]?.learn(seq)
                pull(connection)
            }
        case .permissions(let user):
            forgetRelations(of: user)
        case .keysRevoked(let keys):
            revoke(keys)
        case .deviceEnded(let user, let device):
            end(device, of: user)
        case .devicesMayHaveEnded:
            Task { await endEndedDevices() }
        case .hintsLost:
            Task { await readHeads() }
        }
    }

    // MARK: Live events

    private func fanOut(_ event: LogEvent, to user: Int64, except: SessionID?) {
        guard let connections = users[user]?.connections else { return }
        let passedOver = except?.reactor == reactor.index ? 1 : 0
        var outgoing = outgoing(event, sockets: connections.count - passedOver)
        for connection in connections {
            if let except, except.reactor == reactor.index, except.connection == connection { continue }
            if sessions[connection]?.takesNow(event.seq) == true {
                send(&outgoing, to: connection)
            } else {
                pull(connection)
            }
        }
    }

    private func outgoing(_ event: LogEvent, sockets: Int) -> OutgoingEvent {
        OutgoingEvent(event, sockets: sockets, on: reactor, deflate: environment.settings.deflate)
    }

    private func send(_ outgoing: inout OutgoingEvent, to connection: ConnectionID) {
        guard let format = sessions[connection]?.format else { return }
        switch outgoing.send(to: connection, in: format) {
        case .queued: sessions[connection]?.queued(outgoing.event.seq)
        case .full: sessions[connection]?.queueIsFull()
        case .gone: break
        case nil:
            environment.logger.error("an event of the log can't be read", metadata: ["seq": "\(outgoing.event.seq)"])
            close(connection, .unavailable)
        }
    }

    // MARK: Pulling from the log

    /// Reads what the session lacks, if it lacks anything and no read is under way, and sends it in order.
    func pull(_ connection: ConnectionID) {
        guard let since = sessions[connection]?.beginPull(), let user = sessions[connection]?.user else { return }
        Task {
            do {
                let events = try await environment.reader.read(user, since: since, limit: Self.pullLimit)
                sendPulled(events, to: connection)
                sessions[connection]?.endPull()
            } catch {
                // The log is the truth and nothing is lost by waiting for it.
                try? await Task.sleep(for: .milliseconds(500))
                sessions[connection]?.endPull()
            }
            pull(connection)
        }
    }

    private func sendPulled(_ events: [LogEvent], to connection: ConnectionID) {
        for event in events {
            guard let session = sessions[connection], session.canSend else { return }
            if sessions[connection]?.passesOver(event.seq) == true { continue }
            if event.seq > session.delivered + 1 {
                // The log no longer goes back that far: say so, then go on.
                tell(connection, .gap(.with { $0.from = session.delivered + 1; $0.to = event.seq - 1 }))
            }
            var outgoing = outgoing(event, sockets: 1)
            send(&outgoing, to: connection)
            if event.revokes(session.device) { close(connection, .deviceRevoked) }
        }
    }

    /// Hints may have been lost: everything they would have told is in the logs. Goes on until those can be read, or until
    /// there is more to read again.
    private func readHeads() async {
        relationEpoch += 1
        lostHints += 1
        let loss = lostHints
        rememberedBy = [:]
        for user in users.keys { users[user]?.mayWriteTo.removeAll() }
        let open = Array(users.keys)
        for start in stride(from: 0, to: open.count, by: 1000) {
            let chunk = Array(open[start...].prefix(1000))
            let heads = await persisting(while: { self.lostHints == loss }) {
                try await self.environment.reader.heads(of: chunk)
            }
            for (user, seq) in heads ?? [] {
                for connection in users[user]?.connections ?? [] {
                    sessions[connection]?.learn(seq)
                    pull(connection)
                }
            }
        }
    }

    // MARK: Who may write to whom

    private static let relationsMax = 10_000

    func remember(_ recipient: Int64, _ allowed: Bool, to sender: Int64) {
        guard let count = users[sender]?.mayWriteTo.count else { return }
        if count >= Self.relationsMax { forgetAnswers(to: sender) }
        users[sender]?.mayWriteTo[recipient] = allowed
        rememberedBy[recipient, default: []].insert(sender)
    }

    /// A user's friends, blocks or settings may have changed: that decides who may write to the user, and to whom the
    /// user may write.
    private func forgetRelations(of user: Int64) {
        relationEpoch += 1
        for sender in rememberedBy.removeValue(forKey: user) ?? [] { users[sender]?.mayWriteTo[user] = nil }
        forgetAnswers(to: user)
    }

    func forgetAnswers(to sender: Int64) {
        for recipient in users[sender]?.mayWriteTo.keys ?? [:].keys {
            rememberedBy[recipient]?.remove(sender)
            if rememberedBy[recipient]?.isEmpty == true { rememberedBy[recipient] = nil }
        }
        users[sender]?.mayWriteTo.removeAll()
    }

    // MARK: Answers

    func answer(_ connection: ConnectionID, _ clientID: String, _ result: Result<Appended, InboxWriter.Failure>) {
        switch result {
        case .success(let appended):
            tell(connection, .sent(.with {
                $0.clientID = clientID
                $0.seq = appended.senderSeq
                $0.at = Google_Protobuf_Timestamp(microsecondsOf: appended.at)
            }))
            sessions[connection]?.sentAnswered(appended.senderSeq)
            pull(connection)
        case .failure(.busy):
            refuse(connection, Self.busy, clientID: clientID, retryAfter: 500)
        case .failure(.unavailable):
            refuse(connection, Self.unavailable, clientID: clientID, retryAfter: 1000)
        case .failure(.noInbox):
            let error = RPCError(code: .permissionDenied, message: "only friends may send to each other")
            refuse(connection, error, clientID: clientID)
        }
    }

    func refuse(_ connection: ConnectionID, _ error: RPCError, clientID: String = "", retryAfter: Int32 = 0) {
        var told = Ringway_V1_Error(telling: error, retryAfter: retryAfter)
        told.clientID = clientID
        tell(connection, .error(told))
    }

    /// Queues a frame that is no event. If the queue is full it waits for room; a client that lets too many wait is cut.
    func tell(_ connection: ConnectionID, _ frame: Ringway_V1_ServerFrame.OneOf_Frame) {
        guard let format = sessions[connection]?.format else { return }
        tell(connection, encoded: format.encode(frame))
    }

    func tell(_ connection: ConnectionID, encoded bytes: [UInt8]) {
        guard let session = sessions[connection], session.phase != .closing else { return }
        let outcome = session.mustWait
            ? .full : bytes.withUnsafeBytes { reactor.send($0, as: session.format.messageKind, to: connection) }
        if outcome == .full, sessions[connection]?.wait(bytes) == false { close(connection, .slow) }
    }

    func resumeSending(_ connection: ConnectionID) {
        guard let format = sessions[connection]?.format, var frames = sessions[connection]?.writable()[...] else { return }
        while let frame = frames.first {
            let outcome = frame.withUnsafeBytes { reactor.send($0, as: format.messageKind, to: connection) }
            guard outcome != .full else { break }
            frames.removeFirst()
        }
        for frame in frames { _ = sessions[connection]?.wait(frame) }
        pull(connection)
    }
}

extension LogEvent {
    /// Field 6 of Event (device) is rare, so a look at the first byte spares the decoding of all others.
    fileprivate func revokes(_ device: Int64) -> Bool {
        guard payload.first == 6 << 3 | 2, let event = try? decoded() else { return false }
        return event.device.change == .revoked && event.device.deviceID == device
    }
}
