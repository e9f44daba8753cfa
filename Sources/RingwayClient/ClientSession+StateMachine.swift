// The session's connection: when to dial, what to say, when to give up on a peer, and which sends to repeat.
import Contract

extension ClientSession {
    // MARK: What the app wants

    /// Begins; lastSeq is what the app has. Nothing if it has begun.
    mutating func start(since seq: Int64, now: Instant) -> [Action] {
        guard case .idle = phase else { return [] }
        lastSeq = seq
        return dial(now: now)
    }

    mutating func close() -> [Action] {
        guard !isEnded else { return [] }
        return [.hangUp] + end(code: 1000, reason: "closed by the app", error: .closed)
    }

    mutating func send(
        _ text: String, to user: Int64, clientID: String, now: Instant
    ) throws(RingwayError) -> [Action] {
        guard !isEnded else { throw .closed }
        guard pending.count < settings.sendsMax else {
            throw RingwayError(code: "RESOURCE_EXHAUSTED", message: "too many messages wait to be sent")
        }
        if let refusal = refusal(of: text) { throw refusal }
        let frame = Ringway_V1_Send.with {
            $0.clientID = clientID
            $0.to = user
            $0.body.text = text
        }
        sendsMade += 1
        pending[clientID] = Pending(frame: frame, number: sendsMade, due: now)
        return isLive ? [write(clientID, now: now)] : []
    }

    /// The app no longer waits for the answer. The message may be committed or not.
    mutating func abandonSend(clientID: String) {
        pending[clientID] = nil
    }

    /// The app has stored everything up to seq.
    mutating func ack(_ seq: Int64, now: Instant) {
        ackWanted = max(ackWanted, min(seq, lastSeq))
        if ackWanted > acked, ackDue == nil { ackDue = now + settings.ackDelay }
    }

    mutating func pauseReading() {
        isReadingPaused = true
    }

    mutating func resumeReading(now: Instant) {
        isReadingPaused = false
        lastReceived = now
    }

    // MARK: What happens to the connection

    /// A socket is open; token is what hello says.
    mutating func opened(connection: Int, token: String, now: Instant) -> [Action] {
        guard case .dialling(let deadline) = phase, connection == self.connection else { return [] }
        phase = .greeting(deadline: deadline)
        return [.write(.hello(token: token, sinceSeq: lastSeq, client: settings.clientName))]
    }

    mutating func openFailed(connection: Int, error: RingwayError, now: Instant) -> [Action] {
        guard case .dialling = phase, connection == self.connection else { return [] }
        if error.code == RingwayError.unauthenticated {
            // The refresh token is refused, so no token will ever come.
            return end(code: 4501, reason: error.message, error: error)
        }
        handover = nil
        return wait(reason: error.message, now: now)
    }

    mutating func closed(connection: Int, code: Int, reason: String, now: Instant) -> [Action] {
        guard connection == self.connection else { return [] }
        switch phase {
        case .live: break
        case .greeting: handover = nil
        case .idle, .waiting, .dialling, .ended: return []
        }
        if code == 4501, !tokenWasRejected {
            tokenWasRejected = true
            leave(now: now)
            return dial(now: now)
        }
        if (4500...4999).contains(code) {
            let status = code == 4500 ? "INTERNAL" : RingwayError.unauthenticated
            return end(code: code, reason: reason, error: RingwayError(code: status, message: reason))
        }
        return wait(reason: reason.isEmpty ? "closed with \(code)" : "\(reason) (\(code))", now: now)
    }

    mutating func received(_ frame: Ringway_V1_ServerFrame, connection: Int, now: Instant) -> [Action] {
        guard connection == self.connection else { return [] }
        lastReceived = now
        switch (frame.frame, phase) {
        case (.welcome(let welcome), .greeting): return welcomed(welcome, now: now)
        case (.error(let error), .greeting), (.error(let error), .live): return refused(error, now: now)
        case (.event(let event), .live): return receive(event, now: now)
        case (.sent(let sent), .live): return receive(sent, now: now)
        case (.gap(let gap), .live): return skip(to: gap.to)
        case (.reconnect(let reconnect), .live):
            let delay = Duration.milliseconds(Int64(reconnect.afterMs.clamped(to: 0...600_000)))
            handover = (now + delay, reconnect.url.isEmpty ? nil : reconnect.url)
            return []
        default: return []
        }
    }

    // MARK: What time brings

    mutating func tick(now: Instant) -> [Action] {
        switch phase {
        case .idle, .ended:
            return []
        case .waiting(let until):
            return now >= until ? dial(now: now) : []
        case .dialling(let deadline), .greeting(let deadline):
            guard now >= deadline else { return [] }
            handover = nil
            return [.hangUp] + wait(reason: "the gateway did not answer in time", now: now)
        case .live(_, let heartbeat):
            return tickLive(heartbeat, now: now)
        }
    }

    private mutating func tickLive(_ heartbeat: Duration, now: Instant) -> [Action] {
        if let handover, now >= handover.at {
            leave(now: now)
            return [.hangUp] + dial(now: now)
        }
        if let deadline = silenceDeadline(heartbeat), now >= deadline {
            return drop(reason: "the gateway fell silent", now: now)
        }
        var actions: [Action] = []
        if now >= nextPing {
            actions.append(.write(.heartbeat))
            nextPing = now + Self.pingInterval(heartbeat)
        }
        if let due = ackDue, now >= due {
            actions.append(.write(.ack(ackWanted)))
            acked = ackWanted
            ackDue = nil
        }
        if let due = holeDue, now >= due {
            holeDue = nil
            if !held.isEmpty { actions += pullHole() }
        }
        if let due = sendsDue, now >= due { actions += writeDueSends(now: now) }
        return actions
    }

    // MARK: Steps

    private mutating func dial(now: Instant) -> [Action] {
        connection += 1
        phase = .dialling(deadline: now + settings.connectTimeout)
        return [.dial(connection: connection, url: handover?.url, tokenWasRejected: tokenWasRejected)]
    }

    private mutating func welcomed(_ welcome: Ringway_V1_Welcome, now: Instant) -> [Action] {
        let heartbeat = Duration.milliseconds(Int64(welcome.heartbeatMs.clamped(to: 50...600_000)))
        phase = .live(since: now, heartbeat: heartbeat)
        handover = nil
        tokenWasRejected = false
        // The first at a random part, so that clients that come back together do not beat together.
        nextPing = now + Self.pingInterval(heartbeat) * random()
        if welcome.limits.textBytesMax > 0 { textBytesMax = Int(welcome.limits.textBytesMax) }
        acked = 0
        ackDue = ackWanted > 0 ? now + settings.ackDelay : nil
        if !held.isEmpty { holeDue = now + settings.holeGrace }
        for id in pending.keys where pending[id]?.isPostponed == false { pending[id]?.due = now }
        return [.emit(.connected(resumedFrom: lastSeq))] + refuseTooLong() + writeDueSends(now: now)
    }

    /// A quarter early: a frame that is only just late is late.
    private static func pingInterval(_ heartbeat: Duration) -> Duration {
        heartbeat * 0.75
    }

    /// The server refuses a frame; the connection goes on.
    private mutating func refused(_ error: Ringway_V1_Error, now: Instant) -> [Action] {
        guard pending[error.clientID] != nil else { return [] }
        guard error.retryAfterMs > 0 else {
            let field = error.field.isEmpty ? nil : error.field
            return settle(error.clientID, .failure(RingwayError(code: error.code, message: error.message, field: field)))
        }
        let due = now + .milliseconds(Int64(min(error.retryAfterMs, 3_600_000)))
        pending[error.clientID]?.due = due
        pending[error.clientID]?.isPostponed = true
        sendsDue = min(sendsDue ?? due, due)
        return []
    }

    /// Gives the connection up and waits to dial again.
    mutating func drop(reason: String, now: Instant) -> [Action] {
        [.hangUp] + wait(reason: reason, now: now)
    }

    private mutating func wait(reason: String, now: Instant) -> [Action] {
        leave(now: now)
        let delay: Duration
        if let handover {
            delay = max(.zero, handover.at - now)
        } else {
            let ceiling = min(settings.backoffMax, settings.backoffBase * Double(1 << min(failures, 20)))
            delay = ceiling * random()
            failures += 1
        }
        phase = .waiting(until: now + delay)
        return [.emit(.disconnected(reason: reason, retryIn: delay))]
    }

    /// Forgets what belongs to the connection alone.
    private mutating func leave(now: Instant) {
        if case .live(let since, _) = phase, now - since >= settings.stableAfter { failures = 0 }
        isReadingPaused = false
        ackDue = nil
        sendsDue = nil
        holeDue = nil
    }

    private mutating func end(code: Int, reason: String, error: RingwayError) -> [Action] {
        phase = .ended
        let settled = pending.keys.sorted().flatMap { settle($0, .failure(error)) }
        return settled + [.emit(.closed(code: code, reason: reason))]
    }

    // MARK: Sends

    mutating func settle(_ clientID: String, _ result: Result<Ringway_V1_Sent, RingwayError>) -> [Action] {
        pending.removeValue(forKey: clientID) == nil ? [] : [.settle(clientID: clientID, result)]
    }

    private mutating func write(_ clientID: String, now: Instant) -> Action {
        let due = now + settings.answerTimeout
        pending[clientID]?.due = due
        pending[clientID]?.isPostponed = false
        sendsDue = min(sendsDue ?? due, due)
        return .write(.send(pending[clientID]?.frame ?? .init()))
    }

    private mutating func writeDueSends(now: Instant) -> [Action] {
        let due = pending.filter { $0.value.due <= now }.sorted { $0.value.number < $1.value.number }
        let actions = due.map { write($0.key, now: now) }
        sendsDue = pending.values.map(\.due).min()
        return actions
    }

    private func refusal(of text: String) -> RingwayError? {
        guard let textBytesMax, text.utf8.count > textBytesMax else { return nil }
        return RingwayError(code: "INVALID_ARGUMENT", message: "a message is at most \(textBytesMax) bytes")
    }

    /// What was queued before the limit was known. Sent, it would end every connection that it is sent on.
    private mutating func refuseTooLong() -> [Action] {
        pending.keys.sorted().flatMap { id in
            refusal(of: pending[id]?.frame.body.text ?? "").map { settle(id, .failure($0)) } ?? []
        }
    }
}

extension Comparable {
    fileprivate func clamped(to range: ClosedRange<Self>) -> Self {
        min(max(self, range.lowerBound), range.upperBound)
    }
}
