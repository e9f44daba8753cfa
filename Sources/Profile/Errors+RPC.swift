// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore

extension ProfileError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .noSuchUser: .notFound
        case .outdated: .aborted
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let violation): violation
        case .noSuchUser: "no such user"
        case .outdated: "the profile has changed meanwhile; read it again"
        }
    }
}
