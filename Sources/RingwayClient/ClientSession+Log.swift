// The session's place in the user's log: each seq is emitted once and in order, whatever order things come in.
import Contract

extension ClientSession {
    mutating func receive(_ event: Ringway_V1_Event, now: Instant) -> [Action] {
        accept(event) + closeHole(at: event.seq, grace: .zero, now: now)
    }

    /// The commit of a send of this device; it stands for the event of its seq.
    mutating func receive(_ sent: Ringway_V1_Sent, now: Instant) -> [Action] {
        settle(sent.clientID, .success(sent)) + take(.sent(sent), seq: sent.seq)
            + closeHole(at: sent.seq, grace: settings.holeGrace, now: now)
    }

    /// The log begins after seq by now.
    mutating func skip(to seq: Int64) -> [Action] {
        guard seq > lastSeq else { return [] }
        let gap = ClientEvent.gap(from: lastSeq + 1, to: seq)
        for passed in held.keys where passed <= seq { held[passed] = nil }
        lastSeq = seq
        return [.emit(gap)] + emitHeld()
    }

    mutating func pulled(_ answer: Ringway_V1_ReadInboxResponse, now: Instant) -> [Action] {
        guard !isEnded else { return [] }
        isPulling = false
        let before = lastSeq
        var actions: [Action] = []
        for event in answer.events {
            // The log is read in order, so what is missing in it is missing for ever.
            actions += skip(to: event.seq - 1) + accept(event)
        }
        guard !held.isEmpty else { return actions }
        return actions + (lastSeq > before ? pullHole() : dropIfLive(reason: "the log has a hole", now: now))
    }

    mutating func pullFailed(_ error: RingwayError, now: Instant) -> [Action] {
        isPulling = false
        guard !held.isEmpty else { return [] }
        return dropIfLive(reason: error.message, now: now)
    }

    mutating func pullHole() -> [Action] {
        guard !isPulling else { return [] }
        isPulling = true
        return [.pull(since: lastSeq)]
    }

    // MARK: Steps

    /// An event from the log or from the gateway. One that carries a pending send of this device is its commit,
    /// whose `sent` was lost with a connection.
    private mutating func accept(_ event: Ringway_V1_Event) -> [Action] {
        guard case .message(let message)? = event.kind, message.fromDevice == deviceID,
            pending[message.clientID] != nil
        else { return take(.event(event), seq: event.seq) }
        let sent = Ringway_V1_Sent.with {
            $0.clientID = message.clientID
            $0.seq = event.seq
            $0.at = event.at
        }
        return settle(message.clientID, .success(sent)) + take(.sent(sent), seq: event.seq)
    }

    private mutating func take(_ entry: Entry, seq: Int64) -> [Action] {
        guard seq > lastSeq, held[seq] == nil else { return [] }
        held[seq] = entry
        return emitHeld()
    }

    private mutating func emitHeld() -> [Action] {
        var actions: [Action] = []
        while let entry = held.removeValue(forKey: lastSeq + 1) {
            lastSeq += 1
            switch entry {
            case .event(let event): actions.append(.emit(.event(event)))
            case .sent(let sent): actions.append(.emit(.sent(sent)))
            }
        }
        return actions
    }

    /// What came with seq may have left a hole before it.
    private mutating func closeHole(at seq: Int64, grace: Duration, now: Instant) -> [Action] {
        guard seq > lastSeq else { return [] }
        if held.count > settings.heldMax {
            held.removeAll()
            return drop(reason: "too far behind", now: now)
        }
        guard grace > .zero else { return pullHole() }
        holeDue = holeDue ?? now + grace
        return []
    }

    /// Resuming from the hole is what is left.
    private mutating func dropIfLive(reason: String, now: Instant) -> [Action] {
        isLive ? drop(reason: reason, now: now) : []
    }
}
