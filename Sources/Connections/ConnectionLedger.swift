// What is open at a door, and what the requests under way there hold in memory. Called from every event loop; a lock that is
// held for a look-up.
//
// A connection is a stranger until a call over it has shown a valid token. An address has a bounded number of strangers,
// and they together a share of the memory, so that nobody who has not said who they are takes it from those who have.
//
// All strangers together leave a quarter of the port's places to others, and always its last. Everybody begins as a stranger,
// so when there are as many as may be, a newcomer takes the place of the oldest of the address that has the most, as long as
// that is more than the newcomer's own would have: who holds many places gives them up to who holds few, and never the other
// way round.
import Synchronization

public final class ConnectionLedger<Name: Hashable & Sendable>: Sendable {
    /// Bytes of all requests that are being received or answered.
    public static var requestBytesMax: Int { 64 << 20 }
    /// Of these, those of an address' strangers.
    public static var strangerBytesMax: Int { requestBytesMax / 16 }

    private struct Strangers {
        /// The oldest first.
        var connections: [Name] = []
        var bytes = 0
    }

    private struct Connection {
        /// Whose share it counts in; nil once it is trusted.
        var network: String?
        let close: @Sendable () -> Void
        var bytes = 0
    }

    private struct State {
        var connections: [Name: Connection] = [:]
        var strangers: [String: Strangers] = [:]
        var strangersCount = 0
        var bytes = 0
        var (refused, displaced) = (0, 0)

        mutating func leave(_ name: Name, _ connection: Connection) {
            guard let network = connection.network, let index = strangers[network]?.connections.firstIndex(of: name) else {
                return
            }
            strangersCount -= 1
            strangers[network]?.connections.remove(at: index)
            strangers[network]?.bytes -= connection.bytes
            if strangers[network]?.connections.isEmpty == true { strangers[network] = nil }
        }

        @discardableResult
        mutating func end(_ name: Name) -> Connection? {
            guard let known = connections.removeValue(forKey: name) else { return nil }
            leave(name, known)
            bytes -= known.bytes
            return known
        }

        /// Ends the stranger whose place goes to one of an address that would then have `count`; nil: there is none to whom
        /// it would be fair.
        mutating func displace(for count: Int) -> Connection? {
            guard let most = strangers.values.max(by: { $0.connections.count < $1.connections.count }),
                most.connections.count > count
            else { return nil }
            displaced += 1
            return end(most.connections[0])
        }
    }

    private let strangersPerAddress, strangersMax, connectionsMax: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - strangersPerAddress: 0: any number, and no share.
    ///   - connectionsMax: how many connections the port has at a time; nobody above that comes here.
    public init(strangersPerAddress: Int, connectionsMax: Int) {
        self.strangersPerAddress = strangersPerAddress
        self.connectionsMax = max(2, connectionsMax)
        strangersMax = max(1, connectionsMax - connectionsMax / 4)
    }

    /// False: its address has too many strangers, or all have, and no address more than its own.
    /// - Parameters:
    ///   - network: nil for whom no share is kept.
    ///   - close: ends the connection, from any thread.
    public func admit(_ connection: Name, network: String?, close: @escaping @Sendable () -> Void) -> Bool {
        let network = strangersPerAddress == 0 ? nil : network
        var displaced: Connection?
        let isAdmitted = state.withLock { state in
            if let network {
                let count = state.strangers[network, default: .init()].connections.count + 1
                // Whoever comes next needs a place to come to.
                let isFull = state.strangersCount >= strangersMax || state.connections.count + 1 >= connectionsMax
                if count <= strangersPerAddress, isFull { displaced = state.displace(for: count) }
                guard count <= strangersPerAddress, !isFull || displaced != nil else {
                    state.refused += 1
                    return false
                }
                state.strangers[network, default: .init()].connections.append(connection)
                state.strangersCount += 1
            }
            state.connections[connection] = Connection(network: network, close: close)
            return true
        }
        displaced?.close()
        return isAdmitted
    }

    public func trust(_ connection: Name) {
        state.withLock { state in
            guard let known = state.connections[connection], known.network != nil else { return }
            state.leave(connection, known)
            state.connections[connection]?.network = nil
        }
    }

    public func end(_ connection: Name) {
        _ = state.withLock { $0.end(connection) }
    }

    /// Bytes of a request that have arrived. False: no room, and nothing is counted.
    public func take(_ bytes: Int, for connection: Name) -> Bool {
        state.withLock { state in
            guard let known = state.connections[connection], state.bytes + bytes <= Self.requestBytesMax else { return false }
            if let network = known.network {
                let held = state.strangers[network, default: .init()].bytes
                guard held + bytes <= Self.strangerBytesMax else { return false }
                state.strangers[network]?.bytes = held + bytes
            }
            state.connections[connection]?.bytes += bytes
            state.bytes += bytes
            return true
        }
    }

    /// Bytes that were taken, when their call is over. After the connection's end there is nothing to give back.
    public func give(_ bytes: Int, of connection: Name) {
        state.withLock { state in
            guard let known = state.connections[connection] else { return }
            state.connections[connection]?.bytes -= bytes
            state.bytes -= bytes
            if let network = known.network { state.strangers[network]?.bytes -= bytes }
        }
    }

    /// In Prometheus' text format (version 0.0.4).
    /// - Parameter door: "grpc", "http".
    public func metrics(of door: String) -> String {
        let (connections, bytes, refused, displaced) = state.withLock {
            ($0.connections.count, $0.bytes, $0.refused, $0.displaced)
        }
        return """
            # HELP ringway_\(door)_connections Connections to this port.
            # TYPE ringway_\(door)_connections gauge
            ringway_\(door)_connections \(connections)
            # HELP ringway_\(door)_request_bytes Bytes of requests that are counted while they are received and answered.
            # TYPE ringway_\(door)_request_bytes gauge
            ringway_\(door)_request_bytes \(bytes)
            # HELP ringway_\(door)_peers_refused_total Connections to this port over the share of strangers.
            # TYPE ringway_\(door)_peers_refused_total counter
            ringway_\(door)_peers_refused_total \(refused)
            # HELP ringway_\(door)_peers_displaced_total Strangers of a busy address that made room for another's.
            # TYPE ringway_\(door)_peers_displaced_total counter
            ringway_\(door)_peers_displaced_total \(displaced)

            """
    }
}
