// A command that ends in settings of the server. It passes what it does not know on to them, and so has to notice by
// itself that somebody only asks for help.
import ArgumentParser

protocol SettingsCommand: AsyncParsableCommand {
    var arguments: [String] { get }
}

extension SettingsCommand {
    func settings() throws -> ServeSettings {
        guard !arguments.contains("--help"), !arguments.contains("-h") else { throw CleanExit.helpRequest(Self.self) }
        return try ServeSettings(arguments: arguments)
    }
}
