// A gateway's figures in Prometheus' text format.
import Reactor

extension Gateway {
    public func metrics() async -> String {
        let reactors = await statistics
        var text = ""
        func add(_ name: String, _ type: String, _ help: String, _ values: [(labels: String, value: UInt64)]) {
            text += "# HELP ringway_\(name) \(help)\n# TYPE ringway_\(name) \(type)\n"
            for (labels, value) in values { text += "ringway_\(name)\(labels) \(value)\n" }
        }
        func addEach(_ name: String, _ type: String, _ help: String, _ value: (ReactorStatistics) -> UInt64) {
            add(name, type, help, reactors.enumerated().map { ("{reactor=\"\($0)\"}", value($1)) })
        }
        add("sessions", "gauge", "Sessions open now.", [("", UInt64(await openSessions))])
        add("log_queue_messages", "gauge", "Messages that wait for the log's writer.", [("", UInt64(messagesWaiting))])
        add("reactor_backend_info", "gauge", "What carries the sockets.", [("{backend=\"\(backendName)\"}", 1)])
        addEach("connections", "gauge", "Connections open now.") { $0.connections }
        addEach("connections_accepted_total", "counter", "Connections accepted.") { $0.accepted }
        addEach("handshakes_failed_total", "counter", "Opening handshakes refused.") { $0.handshakesFailed }
        addEach("peers_refused_total", "counter", "Connections over the share of strangers.") { $0.peersRefused }
        addEach("peers_displaced_total", "counter", "Strangers of a busy address that made room for another's.") {
            $0.peersDisplaced
        }
        addEach("messages_received_total", "counter", "WebSocket messages received.") { $0.messagesIn }
        addEach("messages_sent_total", "counter", "WebSocket messages sent.") { $0.messagesOut }
        addEach("received_bytes_total", "counter", "Bytes received on sockets.") { $0.bytesIn }
        addEach("sent_bytes_total", "counter", "Bytes sent on sockets.") { $0.bytesOut }
        addEach("reactor_turns_total", "counter", "Turns of the reactor's loop.") { $0.turns }
        addEach("reactor_system_calls_total", "counter", "System calls of the reactor.") { $0.systemCalls }
        addEach("buffer_pool_bytes", "gauge", "Bytes in buffers held now.") { $0.poolBytes }
        addEach("gathered_bytes", "gauge", "Of them, in messages of which more is to come.") { $0.gatheredBytes }
        addEach("inflated_bytes_total", "counter", "Bytes that compressed messages became.") { $0.bytesInflated }
        return text
    }
}
