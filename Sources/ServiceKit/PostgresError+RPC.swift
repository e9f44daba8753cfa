// What a client is told when the database fails: that it did and whether to try again, nothing of what or where.
import GRPCCore
import Postgres

extension PostgresError: RPCErrorConvertible {
    public var rpcErrorCode: RPCError.Code {
        switch code {
        case .unavailable, .poolExhausted: .unavailable
        case .timeout: .deadlineExceeded
        case .cancelled: .cancelled
        default: .internalError
        }
    }

    public var rpcErrorMessage: String {
        switch rpcErrorCode {
        case .unavailable: "the database is not available; try again"
        case .deadlineExceeded: "the database did not answer in time; try again"
        case .cancelled: "cancelled"
        default: "internal error"
        }
    }
}
