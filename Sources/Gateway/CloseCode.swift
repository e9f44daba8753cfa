// Why a connection was closed, as its client sees it. 4000-4499: connect again and resume. 4500-4999: do not.
// docs/protocol.md lists each with its cause.

enum CloseCode: UInt16 {
    case draining = 4000
    case silent = 4001
    case slow = 4002
    case noHello = 4003
    case unavailable = 4004
    case protocolError = 4500
    case unauthenticated = 4501
    case deviceRevoked = 4503

    var reason: String {
        switch self {
        case .draining: "the server is going away; connect again"
        case .silent: "no frame within the heartbeat"
        case .slow: "the client does not read"
        case .noHello: "no hello in time"
        case .unavailable: "the service is not available; connect again later"
        case .protocolError: "protocol error"
        case .unauthenticated: "the token is not valid"
        case .deviceRevoked: "the device was logged out"
        }
    }
}
