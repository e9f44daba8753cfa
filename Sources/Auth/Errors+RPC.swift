// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore
import ServiceKit

extension AuthError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .usernameTaken, .emailTaken: .alreadyExists
        case .wrongPassword: .permissionDenied
        case .noSuchDevice: .notFound
        case .wrongCredentials, .refreshRefused, .accessRefused: .unauthenticated
        case .busy: .resourceExhausted
        case .hashingFailed: .internalError
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let field, let rule): "\(field) \(rule)"
        case .usernameTaken: "the username is taken or reserved, or looks like one that is"
        case .emailTaken: "the e-mail address is taken"
        case .wrongPassword: "the password is wrong"
        case .noSuchDevice: "no such device"
        case .wrongCredentials: "unknown user or wrong password"
        case .refreshRefused: "the refresh token is not valid; log in again"
        case .accessRefused: "a valid access token is required"
        case .busy: "too many log-ins at once; try again later"
        case .hashingFailed: "internal error"
        }
    }

    var rpcErrorMetadata: Metadata {
        switch self {
        case .busy(let delay): .retry(after: delay)
        case .invalid(let field, _): .fault(of: field)
        case .usernameTaken: .fault(of: "username")
        case .emailTaken: .fault(of: "email")
        case .wrongPassword: .fault(of: "password")
        default: [:]
        }
    }
}
